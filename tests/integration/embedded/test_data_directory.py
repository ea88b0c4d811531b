"""Where the embedded PostgreSQL has its data: reachable, its own, and never lost sight of."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.config.home import Home, NamedServer
from reconciler.embedded import processes
from reconciler.embedded.destroy import destroy_home
from reconciler.embedded.init import create_home
from reconciler.embedded.postgres.account import own_folder, server_account
from reconciler.embedded.postgres.data_directory import DataDirectory
from reconciler.embedded.postgres.home_server import cluster_of, postgres
from reconciler.embedded.postgres.programs import server_binaries
from reconciler.errors import NeedsEdit
from reconciler.store.connection import probe
from tests.support.database.server import DEBIAN
from tests.support.gateways.home import as_root, made_home, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

MAKER = """
import sys
from pathlib import Path
from reconciler.config.home import Home, NamedServer
from reconciler.embedded.init import create_home
server = NamedServer(Path(sys.argv[2]), "a test") if sys.argv[2:] else None
create_home(Home(Path(sys.argv[1]), server))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def home(folder: Path) -> Iterator[Home]:
    with made_home(folder) as made:
        yield made


def test_modes_and_owners_of_the_folders_above_are_unchanged(folder: Path) -> None:
    parent = folder / "closed"
    parent.mkdir(mode=0o750)
    above = [parent, folder, *folder.parents]
    before = [(each.stat().st_mode, each.stat().st_uid, each.stat().st_gid) for each in above]
    home = Home(parent / ".mosaic")
    create_home(home)

    with postgres(home) as url:
        assert probe.answers(url)

    after = [(each.stat().st_mode, each.stat().st_uid, each.stat().st_gid) for each in above]
    base = cluster_of(home).base
    destroy_home(home)
    assert after == before
    assert not base.exists()


def test_a_home_with_a_path_too_long_for_a_socket_works(folder: Path) -> None:
    home = Home(folder / ("long" * 20) / ("path" * 20) / ".mosaic")
    create_home(home)

    with postgres(home) as url:
        assert probe.answers(url)
    sockets = cluster_of(home).sockets
    assert sockets.stat().st_mode & 0o777 == 0o700
    destroy_home(home)
    assert not sockets.exists()


@as_root
def test_a_server_that_its_account_cannot_reach_is_copied_and_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = server_account()
    assert account is not None
    monkeypatch.setattr("reconciler.embedded.postgres.programs.OUTSIDE", folder / "outside")
    monkeypatch.setattr(
        "reconciler.embedded.postgres.programs.reachable", lambda _path, _account: False
    )

    before = os.umask(0o077)
    programs = server_binaries(account)
    os.umask(before)

    assert programs.is_relative_to(folder / "outside")
    as_account = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    completed = subprocess.run(
        [*as_account, programs / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.startswith("postgres (PostgreSQL) 18")
    assert server_binaries(account) == programs


def test_a_starter_that_is_killed_while_the_data_are_made_is_no_harm(folder: Path) -> None:
    home = Home(folder / ".mosaic")
    maker = subprocess.Popen([sys.executable, "-c", MAKER, str(home.path)])
    fresh = home.path / "postgres" / "data.new" / "base"
    while not fresh.exists():
        assert maker.poll() is None
        time.sleep(0.005)
    maker.kill()
    maker.wait()

    assert create_home(home) is True
    with postgres(home) as url:
        assert probe.answers(url)
    destroy_home(home)


def stopped_initdb(base: Path) -> set[Path]:
    """Stop the server of an `initdb` that has shared memory; return the files of that memory."""
    for folder in (base, base / "data.new"):
        for each in processes.working_in(folder, "postgres"):
            with suppress(OSError):  # it has ended
                os.kill(each.pid, signal.SIGSTOP)
                mapped = Path(f"/proc/{each.pid}/maps").read_text().split()
                files = {Path(at) for at in mapped if "/PostgreSQL." in at or "/mmap." in at}
                if files:
                    return files
                os.kill(each.pid, signal.SIGCONT)
    return set()


@pytest.mark.parametrize(
    ("binaries", "place"),
    [
        pytest.param(None, "pg_dynshmem", id="in the data folder"),
        pytest.param(DEBIAN, "shm", id="where PostgreSQL 15 has it"),
    ],
)
def test_no_memory_outlives_an_init_that_is_killed(
    folder: Path, binaries: Path | None, place: str
) -> None:
    home = Home(folder / ".mosaic", NamedServer(binaries, "a test") if binaries else None)
    options = [binaries] if binaries else []
    maker = subprocess.Popen([sys.executable, "-c", MAKER, home.path, *options])
    while not (memory := stopped_initdb(home.path / "postgres")):
        assert maker.poll() is None
        time.sleep(0.005)
    maker.kill()
    maker.wait()

    assert create_home(home) is True

    assert {file.parent.name for file in memory} == {place}
    assert not [file for file in memory if file.exists()]
    destroy_home(home)


def test_a_home_whose_data_have_gone_is_not_given_an_empty_database(home: Home) -> None:
    shutil.rmtree(cluster_of(home).data)

    with pytest.raises(NeedsEdit, match="is missing"), postgres(home):
        pytest.fail("it was used")


def test_a_home_that_was_moved_is_told_where_it_belongs(home: Home) -> None:
    moved = Home(home.path.with_name("moved"))
    home.path.rename(moved.path)
    try:
        with pytest.raises(NeedsEdit) as caught, postgres(moved):
            pytest.fail("it was used")
    finally:
        moved.path.rename(home.path)
    assert str(home.path) in caught.value.hint


def test_a_copy_of_a_home_leaves_the_database_of_the_other_alone(home: Home) -> None:
    copy = Home(home.path.with_name("copy"))
    with postgres(home) as url:
        shutil.copytree(home.path, copy.path, ignore=shutil.ignore_patterns("postgres"))
        with pytest.raises(NeedsEdit, match="is a copy of") as caught, postgres(copy):
            pytest.fail("it was used")
        assert probe.answers(url)
    assert caught.value.code == "home_missing"


@as_root
def test_the_data_stay_where_they_are_when_the_folders_above_change_mode(folder: Path) -> None:
    parent = folder / "closed"
    parent.mkdir(mode=0o700)
    with made_home(parent) as home:
        base = cluster_of(home).base
        assert not base.is_relative_to(folder)
        assert (base.parent / "home").read_text() == f"{home.path}\n"
        parent.chmod(0o755)

        assert cluster_of(home).base == base
        with postgres(home) as url:
            assert probe.answers(url)
    assert not base.parent.exists()


@as_root
@pytest.mark.parametrize("linked", [True, False], ids=["linked", "on another file system"])
def test_a_home_that_was_deleted_by_hand_can_be_made_again(folder: Path, linked: bool) -> None:
    parent = folder / "closed"
    parent.mkdir(mode=0o700)
    first = Home(parent / ".mosaic")
    create_home(first)
    left = cluster_of(first).base.parent
    if not linked:
        DataDirectory(left).link.unlink(missing_ok=True)
    shutil.rmtree(first.path)

    with made_home(parent) as again, postgres(again) as url:
        assert probe.answers(url)
        assert cluster_of(again).base.parent != left
    assert not left.exists(), "what the first one left goes with the second"


@as_root
def test_a_home_that_its_account_can_no_longer_reach_says_so(home: Home) -> None:
    home.path.parent.chmod(0o700)

    with pytest.raises(NeedsEdit, match="cannot reach"), postgres(home):
        pytest.fail("it was used")
    home.path.parent.chmod(0o755)


@as_root
def test_a_folder_that_was_made_and_not_yet_handed_over_is_taken(folder: Path) -> None:
    account = server_account()
    assert account is not None
    (folder / "base").mkdir(mode=0o700)

    own_folder(folder / "base", account)

    assert (folder / "base").stat().st_uid == account.uid


def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    (folder / "open").mkdir(mode=0o755)
    (folder / "link").symlink_to(folder / "open")
    (folder / "open" / "file").touch()

    for taken in (folder / "open", folder / "link"):
        with pytest.raises(NeedsEdit, match="expected a folder"):
            own_folder(taken, server_account())
