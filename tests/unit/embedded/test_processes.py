"""Child processes: known beyond their pid, clean of what is ours, stopped for sure."""

from __future__ import annotations

import errno
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.config.home import Home
from reconciler.embedded import processes
from reconciler.embedded.processes import Identity
from reconciler.embedded.supervise import sole_gateway
from reconciler.errors import NeedsEdit, Retry
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = processes.spawn(["sleep", "60"], log=tmp_path / "log", cwd=tmp_path)
    yield child
    child.kill()
    child.wait()


def identity_of(child: subprocess.Popen[bytes]) -> Identity:
    identity = processes.identify(child.pid)
    assert identity is not None
    return identity


def test_a_process_is_itself_and_no_other(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)

    assert processes.alive(identity)
    assert not processes.alive(replace(identity, started=identity.started + 1))
    assert not processes.alive(replace(identity, boot="another"))


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    assert not processes.alive(identity)
    assert processes.identify(sleeper.pid) is None


def test_a_stranger_with_the_same_pid_is_not_stopped(sleeper: subprocess.Popen[bytes]) -> None:
    before = replace(identity_of(sleeper), started=1)

    processes.stop(before, [(signal.SIGKILL, 1)])

    assert sleeper.poll() is None


def test_who_ignores_one_signal_gets_the_next(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = processes.spawn([sys.executable, "-c", STUBBORN], log=log)
    wait_until(log.read_text, "it ignores the first")

    with pytest.raises(Retry, match="still runs after SIGTERM"):
        processes.stop(identity_of(child), [(signal.SIGTERM, 0.1)])
    processes.stop(identity_of(child), [(signal.SIGTERM, 0.1), (signal.SIGKILL, PATIENCE_S)])

    assert child.wait() == -signal.SIGKILL


def test_processes_are_found_by_folder_and_program(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    program = os.path.realpath(f"/proc/{sleeper.pid}/exe").rsplit("/", 1)[-1]

    assert processes.working_in(tmp_path, program) == [identity_of(sleeper)]
    assert processes.working_in(tmp_path, "another") == []
    assert processes.working_in(tmp_path.parent, program) == []


def test_a_child_sees_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "ours")
    monkeypatch.setenv("MOSAIC_DATABASE_URL", "ours")

    processes.spawn(["env"], log=tmp_path / "log").wait()

    assert "ours" not in (tmp_path / "log").read_text()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def test_a_log_that_grew_too_large_makes_way(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(processes.LOG_LIMIT + 1)

    processes.spawn(["echo", "new"], log=log).wait()

    assert log.read_text() == "new\n"
    assert (tmp_path / "log.1").stat().st_size == processes.LOG_LIMIT + 1


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NeedsEdit, match="'/no/such' cannot be started: No such file"):
        processes.spawn(["/no/such"], log=tmp_path / "log")


@pytest.mark.parametrize("text", ["", "12", "x 1 boot", "1 2 3 4"])
def test_a_record_cut_short_names_nobody(text: str) -> None:
    assert Identity.parse(text) is None


def test_a_lock_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    home.run.mkdir()

    def write(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left") as caught, sole_gateway(home):
        pass
    assert caught.value.filename == str(home.run)
