"""The embedded PostgreSQL and the home: shared, stopped by the last, found again after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import pytest

from reconciler.embedded import cluster as clusters
from reconciler.embedded import processes
from reconciler.embedded.account import server_account
from reconciler.embedded.binaries import server_binaries
from reconciler.embedded.ca_files import CONFIG, CaPlan, write_ca
from reconciler.embedded.files import write_once
from reconciler.embedded.home import Home, find_home
from reconciler.embedded.init import create_home, remove_home
from reconciler.embedded.install import find_step_ca
from reconciler.embedded.postgres import cluster_of, postgres
from reconciler.embedded.stepca import StepCa
from reconciler.store import probe

if TYPE_CHECKING:
    from collections.abc import Iterator

USER: Final = """
import sys, time
from pathlib import Path
from reconciler.embedded.home import Home
from reconciler.embedded.postgres import postgres
with postgres(Home(Path(sys.argv[1]))) as url:
    print("using", flush=True)
    time.sleep(float(sys.argv[2]))
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="drops privileges, which only root can")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder that other accounts may enter, as most of a machine's are."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    return tmp_path


@pytest.fixture
def home(folder: Path) -> Iterator[Home]:
    made = Home(folder / ".mosaic")
    create_home(made)
    yield made
    remove_home(made)


def user(home: Home, seconds: float) -> subprocess.Popen[str]:
    """Start another process that uses the home's server."""
    argv = [sys.executable, "-c", textwrap.dedent(USER), str(home.path), str(seconds)]
    started = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "using\n"
    return started


def finish(started: subprocess.Popen[str]) -> int:
    with started:
        return started.wait(30)


def test_the_server_runs_while_it_is_used_and_no_longer(home: Home) -> None:
    with postgres(home) as url:
        assert probe.answers(url)
        assert clusters.running(cluster_of(home)) is not None

    assert clusters.running(cluster_of(home)) is None


def test_the_last_of_two_users_stops_the_server(home: Home) -> None:
    other = user(home, 1.5)
    with postgres(home) as url:
        before = clusters.running(cluster_of(home))
        assert finish(other) == 0
        assert clusters.running(cluster_of(home)) == before
        assert probe.answers(url)

    assert clusters.running(cluster_of(home)) is None


def test_two_that_begin_at_once_share_one_server(home: Home) -> None:
    others = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(USER), str(home.path), "0.5"])
        for _ in range(4)
    ]

    assert [each.wait(60) for each in others] == [0, 0, 0, 0]
    assert clusters.running(cluster_of(home)) is None


def test_a_user_that_was_killed_leaves_a_server_that_the_next_one_takes_over(home: Home) -> None:
    other = user(home, 60)
    other.kill()
    finish(other)
    left = clusters.running(cluster_of(home))
    assert left is not None

    with postgres(home) as url:
        assert clusters.running(cluster_of(home)) == left
        assert probe.answers(url)

    assert clusters.running(cluster_of(home)) is None


def test_a_server_that_was_killed_is_started_again(home: Home) -> None:
    other = user(home, 60)  # which does not reap it: a zombie's pid still takes signals
    killed = clusters.running(cluster_of(home))
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)

    with postgres(home) as url:
        assert probe.answers(url)
        assert clusters.running(cluster_of(home)) != killed
    other.kill()
    finish(other)
    with postgres(home):
        pass
    assert clusters.running(cluster_of(home)) is None


def test_a_stale_pid_file_that_names_a_stranger_is_passed_over(home: Home) -> None:
    stale = cluster_of(home).data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{cluster_of(home).data}\n")

    with postgres(home) as url:
        assert probe.answers(url)


@as_root
def test_another_user_of_the_machine_cannot_connect(home: Home) -> None:
    psql = cluster_of(home).binary("psql")
    with postgres(home) as url:
        parts = urlsplit(url)
        host = unquote(parts.query.removeprefix("host="))
        without_password = f"postgresql://mosaic@/mosaic?host={host}"
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        refused = [
            subprocess.run(
                [*prefix, psql, target, "-w", "-c", "SELECT 1"],
                capture_output=True,
                text=True,
                check=False,
            )
            for prefix, target in ((as_nobody, url), ([], without_password))
        ]
        allowed = subprocess.run(
            [psql, url, "-Atc", "SELECT current_user"], capture_output=True, text=True, check=True
        )

    assert [each.returncode for each in refused] == [2, 2]
    assert "Permission denied" in refused[0].stderr
    assert "no password supplied" in refused[1].stderr
    assert allowed.stdout == "mosaic\n"


def test_no_tcp_port_is_open(home: Home) -> None:
    with postgres(home):
        found = clusters.running(cluster_of(home))
        assert found is not None
        sockets = Path(f"/proc/{found.pid}/net/tcp").read_text()
        inodes = {str(each.readlink()) for each in Path(f"/proc/{found.pid}/fd").iterdir()}
    listening = [line.split()[9] for line in sockets.splitlines()[1:] if line.split()[3] == "0A"]
    assert not {f"socket:[{inode}]" for inode in listening} & inodes


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
    remove_home(home)
    assert after == before
    assert not base.exists()


def test_a_home_with_a_path_too_long_for_a_socket_works(folder: Path) -> None:
    home = Home(folder / ("long" * 20) / ("path" * 20) / ".mosaic")
    create_home(home)

    with postgres(home) as url:
        assert probe.answers(url)
    sockets = cluster_of(home).sockets
    assert sockets.stat().st_mode & 0o777 == 0o700
    remove_home(home)
    assert not sockets.exists()


def test_nothing_secret_in_a_home_is_open_to_others(home: Home) -> None:
    secret = [home.keys, home.secrets, home.ca_root_key.parent, home.provisioners, home.ca]
    for folder in secret:
        assert folder.stat().st_mode & 0o077 == 0, folder
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
    for name in ("key", "secrets/*", "provisioners/*", "root-key/*"):
        for path in home.path.glob(name):
            assert path.stat().st_mode & 0o777 == 0o400, path


def test_a_second_init_changes_nothing(home: Home) -> None:
    before = {path: path.read_bytes() for path in home.path.rglob("*.toml")}
    pepper = home.token_pepper.read_bytes()

    assert create_home(home) is False
    assert {path: path.read_bytes() for path in home.path.rglob("*.toml")} == before
    assert home.token_pepper.read_bytes() == pepper


def test_an_interrupted_init_is_completed_with_what_it_chose(folder: Path) -> None:
    home = Home(folder / ".mosaic")
    create_home(home)
    settings, pepper = home.config.read_text(), home.token_pepper.read_text()
    home.config.rename(home.path / "mosaic.toml.draft")  # killed before its last step
    (home.ca / CONFIG).rename(folder / "kept")

    (folder / "kept").rename(home.ca / CONFIG)
    assert create_home(home) is True
    assert (home.config.read_text(), home.token_pepper.read_text()) == (settings, pepper)
    remove_home(home)


def test_an_interrupted_ca_init_is_completed_with_the_same_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = CaPlan(
        tmp_path / "ca",
        tmp_path / "root" / "key",
        tmp_path / "provisioners",
        "https://127.0.0.1:1",
        "127.0.0.1:2",
    )
    written: list[Path] = []

    def die_after_three(path: Path, content: bytes, mode: int = 0o400) -> bool:
        if ".new" not in path.parts and len(written) == 3:
            raise KeyboardInterrupt
        if ".new" not in path.parts:
            written.append(path)
        return real(path, content, mode)

    real = write_once
    monkeypatch.setattr("reconciler.embedded.ca_files.write_once", die_after_three)
    with pytest.raises(KeyboardInterrupt):
        write_ca(plan)
    first = {path: path.read_bytes() for path in written}
    monkeypatch.undo()

    assert write_ca(plan) is True
    assert {path: path.read_bytes() for path in written} == first
    assert not (plan.folder / ".new").exists()
    assert write_ca(plan) is False


def test_a_step_ca_that_was_left_behind_is_ended_before_a_new_one_starts(home: Home) -> None:
    binary = find_step_ca()
    assert binary is not None
    left = StepCa(home, binary)
    left.start()
    identity = processes.Identity.parse((home.run / "step-ca.identity").read_text())
    assert identity is not None

    taking_over = StepCa(home, binary)
    taking_over.start()

    assert not processes.alive(identity)
    assert taking_over.answers()
    taking_over.stop()
    left.stop()


def test_a_home_is_found_from_below_as_git_finds_a_repository(home: Home, tmp_path: Path) -> None:
    below = home.path.parent / "manifests" / "deep"
    below.mkdir()

    assert find_home(below) == home
    assert find_home(Path("/")) is None


@as_root
def test_a_server_that_its_account_cannot_reach_is_copied_and_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = server_account()
    assert account is not None
    monkeypatch.setattr("reconciler.embedded.binaries.OUTSIDE", folder / "outside")
    monkeypatch.setattr("reconciler.embedded.binaries.reachable", lambda _path, _account: False)

    programs = server_binaries(account)

    assert programs.is_relative_to(folder / "outside")
    as_account = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    told = subprocess.run(
        [*as_account, programs / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("postgres (PostgreSQL) 18")
    assert server_binaries(account) == programs
