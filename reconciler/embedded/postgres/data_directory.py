"""A home's database outside of the home: whose it is, and whether that home still exists.

As root, PostgreSQL runs as an account that can enter few homes, so the data lie in a folder of
`/var/lib/mosaic-federation`, and the home's file `database-place` names it. In that folder

home         holds the home's path
file-system  holds what identifies the file system that the home was on
link         is a hard link to the home's `database-place`
server/      belongs to the server's account

A path alone cannot tell a home that was moved from one that was removed, or from the home that it
is a copy of. The link can: a move keeps it, a copy does not have it, and its count says whether the
home's own name for it still exists. A home on another file system has no link; there only the file
system tells: if it is mounted and the path is not on it, the home has gone.
"""

from __future__ import annotations

import enum
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.config.home import Home, is_home
from reconciler.embedded.folders import remove
from reconciler.embedded.postgres import programs as binaries
from reconciler.files import replace_file, write_new

if TYPE_CHECKING:
    from collections.abc import Iterator

YOUNG_S: Final = 60.0  # an empty folder of this age may be one that `init` is about to fill
_ABSENT: Final = (FileNotFoundError, NotADirectoryError)


class HomeState(enum.Enum):
    """Whether the home that a data directory belongs to still exists."""

    USED = "its home is there"
    MOVED = "its home was moved"
    GONE = "its home is gone"
    UNKNOWN = "its home is not there, and may be on a disk that is not mounted"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A folder with the database of one home."""

    path: Path

    @property
    def server(self) -> Path:
        """The folder of the server's account."""
        return self.path / "server"

    @property
    def record(self) -> Path:
        """The file that names the home."""
        return self.path / "home"

    @property
    def link(self) -> Path:
        """The hard link to the home's `database-place`."""
        return self.path / "link"

    @property
    def home(self) -> Home | None:
        """The home as recorded; None where no record was written, or it is not readable."""
        path = _read(self.record)
        return Home(Path(path)) if path.startswith("/") else None

    @property
    def file_system(self) -> Path:
        """The file that identifies the file system of the home."""
        return self.path / "file-system"


def data_directories() -> list[DataDirectory]:
    """Return every data directory outside of homes; only root has any."""
    if os.geteuid() != 0:
        return []
    try:
        folders = sorted(binaries.OUTSIDE.iterdir())
    except _ABSENT:
        return []
    return [DataDirectory(each) for each in folders if _is_id(each.name) and each.is_dir()]


def new_data_directory(home: Home) -> DataDirectory:
    """Make a data directory and let the home name it; that of a removed home is never reused."""
    directory = DataDirectory(binaries.outside() / secrets.token_hex(8))
    directory.path.mkdir()
    directory.path.chmod(0o755)  # whatever root's umask is; the server's own folder in it is closed
    write_new(directory.record, _record_of(home), 0o444)
    write_new(directory.file_system, file_system_of(home.path).encode(), 0o444)
    text = f"{directory.server}\n".encode()
    write_new(directory.link, text, 0o444)
    try:
        os.link(directory.link, home.database_place)
    except OSError:  # another file system, or one without links
        directory.link.unlink()
        write_new(home.database_place, text, 0o444)
    return directory


def data_directory_of(base: Path) -> DataDirectory | None:
    """Return the data directory whose server's folder is `base`; None for a folder in a home."""
    directory = DataDirectory(base.parent)
    return directory if directory.server == base and _is_id(base.parent.name) else None


def state_of(directory: DataDirectory) -> HomeState:
    """Judge whether the home of a data directory still exists. When in doubt it may."""
    home = directory.home
    try:
        if home is None:
            age_s = time.time() - directory.path.stat().st_mtime
            empty = not any(directory.path.iterdir())
            return HomeState.GONE if empty and age_s > YOUNG_S else HomeState.UNKNOWN
        if _names(home, directory):
            return HomeState.USED
        count = _link_count(directory)
        if count:
            return HomeState.MOVED if count > 1 else HomeState.GONE
        mounted = file_system_of(home.path) == _read(directory.file_system)
    except OSError:
        return HomeState.UNKNOWN
    return HomeState.GONE if mounted else HomeState.UNKNOWN


def data_directories_of(home: Home) -> Iterator[DataDirectory]:
    """Yield the data directories of a home, wherever it was moved; never those of its original.

    These are the one that it names, and what an interrupted `init` in the same folder left.
    """
    for directory in data_directories():
        named = _names(home, directory)
        recorded = directory.home == home
        own = _same_file(directory.link, home.database_place)
        if recorded and _link_count(directory) > 1 and not own:
            continue  # of a home that was moved away from here
        if recorded and (own or named or _names_none(home) or _is_gone(directory)):
            yield directory
        elif named and not recorded:
            state = state_of(directory)
            if state is HomeState.GONE or (own and state is HomeState.MOVED):
                yield directory


def original_of(home: Home, directory: DataDirectory) -> Path | None:
    """Return the home that `home`, which names the data directory, is a copy of, or None.

    A home that was moved, or restored where its original is gone, is recorded as the owner.
    """
    recorded = directory.home
    if recorded is None:
        return None
    own = _same_file(directory.link, home.database_place)
    if recorded != home and not _same_file(recorded.path, home.path):
        state = state_of(directory)
        if state is HomeState.USED or (state is HomeState.MOVED and not own):
            return recorded.path
        if state is HomeState.UNKNOWN:
            return None
    elif _link_count(directory) > 1 and not own:
        return recorded.path
    if recorded != home:
        replace_file(directory.record, _record_of(home), 0o444)
        replace_file(directory.file_system, file_system_of(home.path).encode(), 0o444)
    if not own:
        _link_again(directory, home)
    return None


def remove_data_directory(directory: DataDirectory) -> None:
    """Remove a data directory.

    Raises:
        OSError: something of it cannot be removed.
    """
    # What names its home goes last, so that a later removal finds and finishes this one.
    files = (directory.link, directory.file_system, directory.record)
    for path in (directory.server, *files, directory.path):
        remove(path)


def file_system_of(path: Path) -> str:
    """Return what tells the file system of `path` from others, or of what exists above it."""
    for folder in (path, *path.parents):
        try:
            return f"{folder.stat().st_dev}-{os.statvfs(folder).f_fsid}"
        except _ABSENT:
            continue
    raise FileNotFoundError(path)


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on its disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).lstat().st_blocks * 512  # stat(2)
    return total


def _record_of(home: Home) -> bytes:
    return os.fsencode(home.path) + b"\n"


def _read(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes()).removesuffix("\n")
    except OSError:
        return ""


def _names(home: Home, directory: DataDirectory) -> bool:
    """Tell whether the home names the data directory, or is being made and names none yet."""
    try:
        return os.fsdecode(home.database_place.read_bytes()).strip() == str(directory.server)
    except _ABSENT:
        return is_home(home.path) and directory.home == home


def _is_gone(directory: DataDirectory) -> bool:
    return state_of(directory) is HomeState.GONE


def _names_none(home: Home) -> bool:
    return not home.database_place.exists()


def _link_count(directory: DataDirectory) -> int:
    try:
        return directory.link.stat().st_nlink
    except _ABSENT:
        return 0


def _link_again(directory: DataDirectory, home: Home) -> None:
    with suppress(OSError):  # another file system
        directory.link.unlink(missing_ok=True)
        os.link(home.database_place, directory.link)


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_id(name: str) -> bool:
    return len(name) == 16 and not set(name) - set("0123456789abcdef")
