"""A pytest plugin: all that a run of the tests makes lies in one folder, and nothing may be left.

What is left at the end of a run (files, processes, databases in /var/lib, sockets) is named,
removed, and fails the run. What a run leaves that was killed is removed by the next one. Only what
belongs to a run is looked at: others may run their tests on this machine at the same time.

Where memory is plentiful, a second folder in it has the databases: a test makes 300 files for its
own, a gateway 1,000. On a disk, the kernel's part in them was a fifth of the time of all tests.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.embedded import processes
from reconciler.embedded.destroy import recorded_socket_folders
from reconciler.embedded.folders import remove
from reconciler.embedded.postgres.data_directory import data_directories, remove_data_directory
from reconciler.embedded.scratch import OWNER, abandoned_scratch, make_scratch
from tests.support.database.folder import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.embedded.processes import Identity

PREFIX: Final = "mosaic-tests-"
PYTEST_OWN: Final = "pytest-of-"  # the parent of every `tmp_path`
IN_MEMORY: Final = Path("/dev/shm")
ROOM: Final = 4 * 1024**3  # bytes: the databases of four processes of tests, several times over
ENDED: Final = ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0))
_KEY: Final = pytest.StashKey[list["RunFolder"]]()
_LEFT: Final = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    def leftovers(self) -> list[str]:
        """Name what is left of the run."""
        files = (
            path
            for path in self.path.iterdir()
            if path.name != OWNER and not path.name.startswith(PYTEST_OWN)
        )
        return [
            *(f"process {each.pid}: {_command_of(each.pid)}" for each in self._processes()),
            *(f"{directory} of {home}" for directory, home in self._elsewhere()),
            *(str(path) for path in sorted(files)),
        ]

    def remove(self) -> None:
        """Remove the folder and whatever else is left of the run."""
        for identity in self._processes():
            with suppress(OSError):
                processes.stop(identity, ENDED)
        elsewhere = dict(self._elsewhere())
        for directory in data_directories():
            if directory.path in elsewhere:
                remove_data_directory(directory)
        for path in elsewhere:
            remove(path)
        remove(self.path)

    def _elsewhere(self) -> Iterator[tuple[Path, Path]]:
        """Give what homes of the run have elsewhere, each with its home."""
        for directory in data_directories():
            if directory.home is not None and self._has(directory.home.path):
                yield directory.path, directory.home.path
        for folder, home in recorded_socket_folders():
            if self._has(home):
                yield folder, home

    def _processes(self) -> list[Identity]:
        """Return what runs of it: begun by a test, or at work in a folder of the run."""
        mark = os.fsencode(self.path)
        folders = [self.path, *(directory for directory, _ in self._elsewhere())]
        items = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                words = (process / "cmdline").read_bytes().split(b"\0")
                variables = (process / "environ").read_bytes().split(b"\0")
                here = (process / "cwd").readlink()
                if (
                    b"TMPDIR=" + mark in variables
                    or any(mark + b"/" in word for word in words)
                    or any(here.is_relative_to(folder) for folder in folders)
                ):
                    items.append(processes.identify(int(process.name)))
        return [each for each in items if each is not None and each.pid != os.getpid()]

    def _has(self, path: Path) -> bool:
        return path.is_relative_to(self.path)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist: it is in the folder of who started it, who looks at last
    runs = [_new_run(Path(tempfile.gettempdir()))]
    # `tmp_path` and every other temporary folder, of this process and of those that it starts
    os.environ["TMPDIR"] = tempfile.tempdir = str(runs[0].path)
    os.environ.pop(VARIABLE, None)
    if _has_room():
        runs.append(_new_run(IN_MEMORY))
        os.environ[VARIABLE] = str(runs[1].path)
    config.stash[_KEY] = runs


def _new_run(parent: Path) -> RunFolder:
    """Make a folder of this run, and remove those of runs that were killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(parent))
        for left in abandoned_scratch(PREFIX):
            RunFolder(left).remove()
        return RunFolder(make_scratch(PREFIX))


def _has_room() -> bool:
    """Tell whether a file system in memory, of which programs may run, is plentiful."""
    available = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    if not IN_MEMORY.is_mount() or available is None:
        return False
    shared = os.statvfs(IN_MEMORY)
    return (
        shared.f_bavail * shared.f_frsize >= ROOM
        and int(available[1]) * 1024 >= 2 * ROOM
        and not shared.f_flag & os.ST_NOEXEC
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    left = [line for run in session.config.stash.get(_KEY, []) for line in run.leftovers()]
    session.config.stash[_LEFT] = left
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left = config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("left behind by this run")
        for line in left:
            terminalreporter.line(line)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    for run in config.stash.get(_KEY, []):
        run.remove()


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return "ended"
