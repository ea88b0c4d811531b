"""`destroy`: a home removed, with what it has elsewhere and whatever of it still runs.

It works on a home in any state, and an interrupted removal is finished by the next one:
`destroying` is written first, so nothing begins to use the home or completes it, and what says
where the rest lies is removed last.
"""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.config.home import ENTRIES, TAG_TEXT, TEMPORARY, Home, is_home
from reconciler.embedded import processes
from reconciler.embedded.folders import remove
from reconciler.embedded.postgres import programs as binaries
from reconciler.embedded.postgres import server as cluster
from reconciler.embedded.postgres.data_directory import (
    DataDirectory,
    HomeState,
    data_directories,
    data_directories_of,
    remove_data_directory,
    size_of,
    state_of,
)
from reconciler.embedded.postgres.home_server import RUNTIME, short_sockets
from reconciler.embedded.stepca import process as stepca
from reconciler.embedded.stepca.install import find_step_ca
from reconciler.embedded.supervise import gateway_process
from reconciler.errors import NeedsEdit, Refused, Retry
from reconciler.files import write_new

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOP: Final = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))  # `up` ends within 10 s
ROUNDS: Final = 5  # a process that starts during one round is found in the next
LAST: Final = ("database-place", "destroying", "mosaic-home")


@dataclass(frozen=True, slots=True)
class Orphan:
    """What a home left outside of it; `home` is None where nothing says whose it was."""

    path: Path
    home: Path | None
    size: int  # bytes
    certain: bool  # False: the home may be on a disk that is not mounted


def require_home_folder(home: Home) -> None:
    """Refuse a folder that is no home.

    Raises:
        NeedsEdit: `home_missing`.
    """
    if not is_home(home.path):
        raise NeedsEdit(
            "home_missing",
            f"{home.path} holds no gateway; nothing was removed",
            hint="name the gateway's own folder, which is .mosaic by default",
        )


@contextmanager
def reserved(home: Home, wait: Callable[[], None]) -> Iterator[bool]:
    """Be the only one that removes the home; yields False where another one has removed it.

    `wait` is called once if another one is at work.
    """
    try:
        descriptor = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield os.fstat(descriptor).st_nlink > 0 and home.path.exists()
    finally:
        os.close(descriptor)


def users_of(home: Home) -> list[processes.Identity]:
    """Return the processes that hold a lock of the home: `up`, `serve`, and commands at work."""
    locks = (home.lock, home.ca / ".lock", *(home.run.glob("*.lock") if home.run.is_dir() else ()))
    gateway = gateway_process(home)
    holders = processes.holding(locks)
    return [*holders, *([gateway] if gateway is not None and gateway not in holders else [])]


def destroy_home(home: Home) -> list[Path]:
    """Stop what runs of the home, and remove it with what it has elsewhere.

    Return what was left in its folder, because no gateway put it there. The caller has it
    `reserved`.

    Raises:
        Retry: `child_failed`: something still runs. Refused: `file_unusable`: something cannot be
            removed.
    """
    elsewhere = list(data_directories_of(home))
    with _removal_errors():
        # In this order: a later `destroy` knows a home that is half removed by these marks, so they
        # are written before anything is removed.
        write_new(home.tag, TAG_TEXT, 0o644)
        write_new(home.destroying, b"", 0o644)
        home.config.unlink(missing_ok=True)
    _stop_all(home, elsewhere)
    with _removal_errors():
        for directory in elsewhere:
            remove_data_directory(directory)
        for folder in _short_socket_folders(home, elsewhere):
            remove(folder)
        entries = [
            each
            for each in home.path.iterdir()
            if each.name in ENTRIES or TEMPORARY.fullmatch(each.name)
        ]
        for entry in sorted(entries, key=lambda each: each.name in LAST):
            if entry.name not in LAST:
                remove(entry)
        for name in LAST:
            (home.path / name).unlink(missing_ok=True)
        left = sorted(home.path.iterdir())
        if not left:
            home.path.rmdir()
        if not data_directories():
            binaries.remove_copies()
    return left


def orphans() -> list[Orphan]:
    """Return what homes that are gone have left on this machine, as far as this user may see it."""
    directories = [
        Orphan(
            directory.path,
            directory.home.path if directory.home is not None else None,
            size_of(directory.path),
            certain=state is HomeState.GONE,
        )
        for directory in data_directories()
        if (state := state_of(directory)) in (HomeState.GONE, HomeState.UNKNOWN)
    ]
    return directories + [
        Orphan(folder, owner, size_of(folder), certain=True)
        for folder, owner in recorded_socket_folders()
        if not is_home(owner)
    ]


def remove_orphan(orphan: Orphan) -> None:
    """Stop the server that still runs there, if any, and remove the orphan.

    Raises:
        MosaicError: as `destroy_home`.
    """
    directory = DataDirectory(orphan.path)
    with _removal_errors():
        if directory in data_directories():
            cluster.end_all_in(directory.server)
            remove_data_directory(directory)
        else:
            remove(orphan.path)
        if not data_directories():
            binaries.remove_copies()


def _stop_all(home: Home, elsewhere: list[DataDirectory]) -> None:
    for _ in range(ROUNDS):
        users = users_of(home)
        for user in users:
            processes.stop(user, STOP)
        for base in (home.path / "postgres", *(directory.server for directory in elsewhere)):
            cluster.end_all_in(base)
        for authority in (home.ca, Home(home.trial).ca):
            stepca.end_all_in(authority, find_step_ca())
        if not users:
            return
    pids = ", ".join(str(each.pid) for each in users_of(home))
    raise Retry("child_failed", f"processes still use {home.path}: {pids}", hint="stop them first")


def _short_socket_folders(home: Home, elsewhere: list[DataDirectory]) -> Iterator[Path]:
    """Give the folders of the home's sockets that lie outside, by its path now and before a move.

    A path at which another home is now has its own.
    """
    paths = {directory.home.path for directory in elsewhere if directory.home is not None}
    with suppress(OSError):
        paths.add(Path(home.database_place.read_text().strip()).parent)
    others = {path for path in paths if path != home.path and is_home(path)}
    uid = home.path.stat().st_uid
    for path in {home.path, *paths} - others:
        yield from short_sockets(Home(path), uid)


def recorded_socket_folders() -> Iterator[tuple[Path, Path]]:
    """Give this user's folders of sockets that lie outside of a home, each with its home."""
    for runtime in RUNTIME:
        for folder in runtime.glob(f"mosaic-{os.geteuid()}-*"):
            with suppress(OSError):
                yield folder, Path(os.fsdecode((folder / "home").read_bytes()).removesuffix("\n"))


@contextmanager
def _removal_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(
            "file_unusable",
            f"{error.filename} cannot be removed: {error.strerror}",
            hint="correct that, then run the same command again: it removes the rest",
        ) from None
