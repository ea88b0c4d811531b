"""What a folder holds, opened beneath its descriptor: no open follows a link, or leaves the folder.

Every name is opened one part after the other. A link is read as text, once, and its text is walked
by us: one that is swapped during the read leads nowhere else.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.source import MAX_FILE
from reconciler.files import content_of
from reconciler.source.choice import ListedName, NameKind
from reconciler.source.names import MAX_FOLDERS, hidden, passed_over, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.core.source import FileRecord, Stamp
    from reconciler.source.choice import SourceListing

_BENEATH: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHANGED: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)


class FolderChanged(Exception):
    """The folder is not as it was listed; it may be read again."""


@dataclass(slots=True)
class FolderListing:
    """A folder by its descriptor `top`. `closed` are the folders in it that may not be read.

    `stamps` are those of files: of the names in `index` as they were listed, of others when they
    were opened.
    """

    root: str
    top: int
    submodules: frozenset[str] = frozenset()
    index: Mapping[str, FileRecord] = field(default_factory=dict)
    closed: dict[str, OSError] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    _entries: list[ListedName] | None = None
    _targets: dict[str, str] = field(default_factory=dict)
    _repository: str | None = None

    def entries(self) -> list[ListedName]:
        """Return every file, link and special file that is shown, and the repositories within."""
        if self._entries is None:
            self._repository = repository_of(self.root)
            self._entries = [ListedName(name, NameKind.SUBMODULE) for name in self.submodules]
            self._entries += self._walk(self.top, "", 0)
        return self._entries

    def _walk(self, folder: int, prefix: str, depth: int) -> Iterator[ListedName]:
        with os.scandir(folder) as listed:
            entries = list(listed)
        for each in entries:
            name = f"{prefix}{_text(each.name)}"
            kind = _kind_of(each)
            if (passed_over if kind is NameKind.FOLDER else hidden)(each.name):
                continue
            if kind is NameKind.FILE and name in self.index:
                self._stamp(name, each)
            if kind is not NameKind.FOLDER:
                yield ListedName(name, kind)
            elif depth > MAX_FOLDERS:  # its name is deep enough to be refused
                yield ListedName(f"{name}/", NameKind.SPECIAL)
            elif name not in self.submodules:
                yield from self._enter(folder, each.name, name, depth)

    def _stamp(self, name: str, entry: os.DirEntry[str]) -> None:
        try:
            self.stamps[name] = _stamp_of(entry.stat(follow_symlinks=False))
        except PermissionError:
            return  # it is opened, which says what is wrong
        except OSError as error:
            raise FolderChanged(f"{name}: {error.strerror}") from None

    def unchanged(self, name: str) -> bool:
        """Tell whether a file that was listed is as the index has it."""
        record = self.index.get(name)
        return record is not None and record[0] is not None and self.stamps.get(name) == record[0]

    def _enter(self, above: int, part: str, name: str, depth: int) -> Iterator[ListedName]:
        try:
            descriptor = os.open(part, _BENEATH, dir_fd=above)
        except OSError as error:
            if error.errno in _CHANGED:
                raise FolderChanged(f"{name}: {error.strerror}") from None
            self.closed[name] = error
            return
        try:
            if self._repository is not None and _is_repository(descriptor):
                yield ListedName(name, NameKind.SUBMODULE)
            else:
                yield from self._walk(descriptor, f"{name}/", depth + 1)
        except PermissionError as error:  # it may be listed, and what is in it may not be looked at
            self.closed[name] = error
        finally:
            os.close(descriptor)

    def kind(self, name: str) -> NameKind | None:
        """Return what a name is; None if nothing is there that a commit could hold.

        Raises:
            NeedsEdit: `source_unreadable`: it may not be looked at.
        """
        if name in self.submodules:
            return NameKind.SUBMODULE
        try:
            with self._above(name) as (folder, part):
                kind = _kind_of_mode(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode)
                held = kind is not NameKind.FOLDER or _holds_something(part, folder)
        except PermissionError as error:
            raise unreadable(f"{self.root}/{name} cannot be read: {error.strerror}") from None
        except (OSError, ValueError):
            return None
        return kind if held else None

    def target(self, name: str) -> str:
        """Return the text of a link, as it was when it was read first."""
        if name not in self._targets:
            try:
                self._targets[name] = self._readlink(name)
            except OSError as error:
                raise FolderChanged(f"{name}: {error.strerror}") from None
        return self._targets[name]

    def _readlink(self, name: str) -> str:
        with self._above(name) as (folder, part):
            return _text(os.readlink(part, dir_fd=folder))

    def around(self) -> tuple[SourceListing, str] | None:
        """Return the repository that holds the folder; for a folder in none, the file system."""
        physical = os.path.realpath(self.root)
        above = repository_of(self.root) or "/"
        if above == physical:
            return None
        prefix = os.path.relpath(physical, above)
        return _Surroundings(above), f"{_text(prefix)}/"

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or of its first octets; None where it is no regular one."""
        try:
            with self._above(name) as (folder, part):
                descriptor = os.open(part, _FILE, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a socket
                return None
            if error.errno in _CHANGED:
                raise FolderChanged(f"{name}: {error.strerror}") from None
            raise unreadable(f"{self.root}/{name} cannot be read: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            self.stamps[name] = _stamp_of(status)  # before the content, which may be newer
            return content_of(descriptor, status.st_size, MAX_FILE)
        except OSError as error:
            raise unreadable(f"{self.root}/{name} cannot be read: {error.strerror}") from None
        finally:
            os.close(descriptor)

    def refuse_changed(self) -> None:
        """Raise where the folder was replaced, or a link that was followed leads elsewhere now."""
        here, now = os.fstat(self.top), None
        with suppress(OSError):
            now = Path(self.root).stat()
        if now is None or (here.st_dev, here.st_ino) != (now.st_dev, now.st_ino):
            raise FolderChanged("it was replaced")
        for name, target in self._targets.items():
            with suppress(OSError):
                if self._readlink(name) == target:
                    continue
            raise FolderChanged(f"{name} was repointed")

    @contextmanager
    def _above(self, name: str) -> Iterator[tuple[int, str]]:
        """Give the folder that holds a name, opened part by part, and the name's last part."""
        *folders, part = name.split("/")
        descriptor = os.dup(self.top)
        try:
            for each in folders:
                inner = os.open(_native(each), _BENEATH, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor, _native(part)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """The surroundings of a source, in which only the targets of links are looked up."""

    top: str

    def entries(self) -> tuple[ListedName, ...]:
        return ()

    def kind(self, name: str) -> NameKind | None:
        try:
            path = _native(f"{self.top}/{name}")
            kind = _kind_of_mode(os.lstat(path).st_mode)
            return kind if kind is not NameKind.FOLDER or _holds_something(path) else None
        except (OSError, ValueError):
            return None

    def target(self, name: str) -> str:
        try:
            return _text(str(Path(_native(f"{self.top}/{name}")).readlink()))
        except OSError as error:
            raise FolderChanged(f"{name}: {error.strerror}") from None

    def around(self) -> None:
        return None


def _stamp_of(status: os.stat_result) -> Stamp:
    return (
        *(status.st_dev, status.st_ino, status.st_size),
        *(status.st_mtime_ns, status.st_ctime_ns),
    )


def _kind_of(entry: os.DirEntry[str]) -> NameKind:
    if entry.is_symlink():
        return NameKind.LINK
    if entry.is_dir(follow_symlinks=False):
        return NameKind.FOLDER
    return NameKind.FILE if entry.is_file(follow_symlinks=False) else NameKind.SPECIAL


def _kind_of_mode(mode: int) -> NameKind:
    kinds = (
        (stat.S_ISLNK, NameKind.LINK),
        (stat.S_ISDIR, NameKind.FOLDER),
        (stat.S_ISREG, NameKind.FILE),
    )
    return next((kind for test, kind in kinds if test(mode)), NameKind.SPECIAL)


def repository_of(root: str) -> str | None:
    """Return the nearest folder at or above `root` that has a `.git`."""
    physical = Path(os.path.realpath(root))
    above = (physical, *physical.parents)
    return next((str(each) for each in above if os.path.lexists(each / ".git")), None)


def _is_repository(folder: int) -> bool:
    """Tell whether git would take a folder for a repository of its own, and not look into it."""
    with suppress(OSError):
        if stat.S_ISDIR(os.stat(".git", dir_fd=folder).st_mode):
            parts = ("HEAD", "objects", "refs")
            return all(_kind_at(f".git/{part}", folder) is not None for part in parts)
        descriptor = os.open(".git", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(8) == b"gitdir: "
    return False


def _holds_something(name: str, above: int | None = None) -> bool:
    """Tell whether anything but folders lies in a folder: a commit holds no empty ones."""
    try:
        folder = os.open(name, _BENEATH, dir_fd=above)
    except PermissionError:
        return True
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
        folders = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
        return len(folders) < len(entries) or any(
            _holds_something(each, folder) for each in folders
        )
    finally:
        os.close(folder)


def _kind_at(name: str, folder: int) -> NameKind | None:
    with suppress(OSError):
        return _kind_of_mode(os.stat(name, dir_fd=folder).st_mode)
    return None


def _text(name: str) -> str:
    """Return a name as git has it, whatever the locale: UTF-8, and what is none escaped."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _native(name: str) -> str:
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))
