"""The program git, and its cache: absent, hanging, told to stop, or with no folder to write."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.core.trust.rules import RULES_FILE
from reconciler.errors import NeedsEdit, Retry
from reconciler.process import Bounds, end_running
from reconciler.source.git.command import Repository
from reconciler.source.git.remote import cache_folder
from reconciler.source.read import read_source
from reconciler.source.trust_rules import read_rules_of
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from tests.support.repositories.repository import Checkout

VERSIONED: Final = '[ "$1" != --version ] || exec echo git version 2.39.5\n'


def test_without_git_a_folder_is_read_and_a_repository_says_so(
    repository: Checkout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert read_source(SourceSetting(str(repository.path))).commit is None
    assert "there is no git program" in caplog.text
    with pytest.raises(NeedsEdit, match="there is no git program on the PATH"):
        repository.read()


def test_a_git_that_hangs_is_ended_with_all_its_children(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids, program = tmp_path / "pids", tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{VERSIONED}sleep 300 & echo $! $$ > {pids}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(Retry, match="git log took longer than 3 s") as caught:
        Repository(repository.path / ".git").run("log", bounds=Bounds(3.0, 100))
    assert caught.value.code == "source_unavailable"
    begun = pids.read_text().split()
    assert len(begun) == 2
    wait_until(lambda: not any(_runs(each) for each in begun), "they are ended")


@pytest.mark.parametrize("ref", ["main", None])
def test_what_is_told_to_stop_waits_for_no_git(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str | None
) -> None:
    """Nor is a folder of a checkout read without what git says of it: some is left out of it."""
    begun, program = tmp_path / "begun", tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{VERSIONED}touch {begun}\nsleep 300\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_source, SourceSetting(str(repository.path), ref))
        wait_until(begun.exists, "git runs")
        end_running()
        with pytest.raises(Retry, match="git rev-parse was ended by signal 9"):
            reading.result(PATIENCE_S)


def test_a_git_that_is_killed_when_it_is_asked_for_its_version_is_asked_again(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, program = tmp_path / "killed", tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\n[ -e {killed} ] || {{ touch {killed}; kill -9 $$; }}\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(Retry, match="git --version was ended by signal 9"):
        repository.read()
    assert repository.read().commit is not None


def test_rules_of_trust_are_not_missing_because_git_was_killed(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = SourceSetting(str(repository.path / "manifests"))
    source, program = read_source(setting), tmp_path / "bin" / "git"
    (repository.path / RULES_FILE).write_text("rules: []\n")
    assert [each.path for each in read_rules_of(setting, source)] == [f"../{RULES_FILE}"]
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{VERSIONED}kill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(Retry, match="was ended by signal 9"):
        read_rules_of(setting, source)


def _runs(pid: str) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_cache_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NeedsEdit, match="others may write to it"):
        cache_folder(str(tmp_path / "open"))
    assert cache_folder(str(tmp_path / "own")).stat().st_mode & 0o777 == 0o700


def test_where_no_cache_is_named_it_is_the_users_or_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder(None) == tmp_path / "home" / ".cache" / "mosaic-federation" / "git"
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder("/proc/none") == tmp_path / f"mosaic-federation-{os.geteuid()}" / "git"


def test_a_repository_is_read_where_no_temporary_folder_can_be_written(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/proc"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for location in (str(repository.path), repository.url):
        assert len(read_source(SourceSetting(location, "main", "manifests")).files) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with pytest.raises(NeedsEdit, match="no cache folder can be written: /proc/none"):
        cache_folder("/proc/none")
