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


class PlaceState(enum.Enum):
    """Whether the home that a place belongs to still exists."""

    USED = "its home is there"
    MOVED = "its home was moved"
    GONE = "its home is gone"
    UNKNOWN = "its home is not there, and may be on a disk that is not mounted"


@dataclass(frozen=True, slots=True)
class Place:
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


def places() -> list[Place]:
    """Return every place on this machine; none to a user who is not root, who has none there."""
    if os.geteuid() != 0:
        return []
    try:
        folders = sorted(binaries.OUTSIDE.iterdir())
    except _ABSENT:
        return []
    return [Place(each) for each in folders if _is_id(each.name) and each.is_dir()]


def new_place(home: Home) -> Place:
    """Make a place and let the home name it. What a removed home left is never taken again."""
    place = Place(binaries.outside() / secrets.token_hex(8))
    place.path.mkdir()
    place.path.chmod(0o755)  # whatever root's umask is; the server's own folder in it is closed
    write_new(place.record, _record_of(home), 0o444)
    write_new(place.file_system, file_system_of(home.path).encode(), 0o444)
    text = f"{place.server}\n".encode()
    write_new(place.link, text, 0o444)
    try:
        os.link(place.link, home.database_place)
    except OSError:  # another file system, or one without links
        place.link.unlink()
        write_new(home.database_place, text, 0o444)
    return place


def place_of(base: Path) -> Place | None:
    """Return the place whose server's folder is `base`; None for a folder in a home."""
    place = Place(base.parent)
    return place if place.server == base and _is_id(base.parent.name) else None


def state_of(place: Place) -> PlaceState:
    """Judge whether the home of a place still exists. When in doubt it may."""
    home = place.home
    try:
        if home is None:
            age_s = time.time() - place.path.stat().st_mtime
            empty = not any(place.path.iterdir())
            return PlaceState.GONE if empty and age_s > YOUNG_S else PlaceState.UNKNOWN
        if _names(home, place):
            return PlaceState.USED
        count = _link_count(place)
        if count:
            return PlaceState.MOVED if count > 1 else PlaceState.GONE
        mounted = file_system_of(home.path) == _read(place.file_system)
    except OSError:
        return PlaceState.UNKNOWN
    return PlaceState.GONE if mounted else PlaceState.UNKNOWN


def places_of(home: Home) -> Iterator[Place]:
    """Give the places that belong to the home, wherever it was moved; never those of its original.

    These are the one that it names, and what an interrupted `init` in the same folder left.
    """
    for place in places():
        named = _names(home, place)
        recorded = place.home == home
        own = _same_file(place.link, home.database_place)
        if recorded and _link_count(place) > 1 and not own:
            continue  # of a home that was moved away from here
        if recorded and (own or named or _link_count(place) == 1 or _names_none(home)):
            yield place
        elif named and not recorded:
            state = state_of(place)
            if state is PlaceState.GONE or (own and state is PlaceState.MOVED):
                yield place


def original_of(home: Home, place: Place) -> Path | None:
    """Return the home that `home`, which names the place, is a copy of; None for the place's own.

    A home that was moved, or restored where its original is gone, is recorded as the place's own.
    """
    recorded = place.home
    if recorded is None:
        return None
    own = _same_file(place.link, home.database_place)
    if recorded != home and not _same_file(recorded.path, home.path):
        state = state_of(place)
        if state is PlaceState.USED or (state is PlaceState.MOVED and not own):
            return recorded.path
        if state is PlaceState.UNKNOWN:
            return None
    elif _link_count(place) > 1 and not own:
        return recorded.path
    if recorded != home:
        replace_file(place.record, _record_of(home), 0o444)
        replace_file(place.file_system, file_system_of(home.path).encode(), 0o444)
    if not own:
        _link_again(place, home)
    return None


def remove_place(place: Place) -> None:
    """Remove a place; what names its home goes last, so that an interrupted removal is finished.

    Raises:
        OSError: something of it cannot be removed.
    """
    for each in (place.server, place.link, place.file_system, place.record, place.path):
        remove(each)


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


def _names(home: Home, place: Place) -> bool:
    """Tell whether the home names the place, or is being made and names none yet."""
    try:
        return os.fsdecode(home.database_place.read_bytes()).strip() == str(place.server)
    except _ABSENT:
        return is_home(home.path) and place.home == home


def _names_none(home: Home) -> bool:
    return not home.database_place.exists()


def _link_count(place: Place) -> int:
    try:
        return place.link.stat().st_nlink
    except _ABSENT:
        return 0


def _link_again(place: Place, home: Home) -> None:
    with suppress(OSError):  # another file system
        place.link.unlink(missing_ok=True)
        os.link(home.database_place, place.link)


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_id(name: str) -> bool:
    return len(name) == 16 and not set(name) - set("0123456789abcdef")
