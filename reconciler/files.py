"""Files that are there whole or not at all, whatever stops the process or the machine."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import marshal
import os
import secrets
import stat
import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Final

from reconciler.errors import NeedsEdit, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

USERS: Final = 0o666  # of a file that belongs to the user: the umask takes from it

# faults of the machine, as opposed to faults of this program (errno(3))
_OF_THE_MACHINE: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}
    | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHECKSUM: Final = hashlib.sha256().digest_size  # octets at the beginning of a file of values


def private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, and nobody else may write to those above it.

    Raises:
        OSError: it cannot be made.
    """
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, that only its owner may write to; the umask may say less.

    Raises:
        OSError: it cannot be made.
    """
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    for each in reversed(missing):
        each.mkdir(mode=0o755, exist_ok=True)
    path.mkdir(exist_ok=True)  # a link that leads nowhere, say


def write_new(
    path: Path, content: bytes, mode: int = USERS, *, temporary: str | None = None
) -> bool:
    """Write a file that does not exist yet; if it exists, return False and change nothing.

    It has exactly this `mode`, but for `USERS`. `temporary` names the file beside it that is
    written first.

    Raises:
        OSError: the folder cannot be written to.
    """
    if os.path.lexists(path):
        return False
    with _file_beside(path, (content,), mode, temporary) as beside:
        try:
            os.link(beside, path)  # unlike a rename, never over what another process wrote
        except FileExistsError:
            return False
        finally:
            beside.unlink(missing_ok=True)
    return True


def content_of(descriptor: int, size: int, most: int) -> bytes:
    """Return what an open file of about `size` octets holds; of a larger one than `most`, more.

    No buffer is made that is larger than it needs, as `read(most)` makes one for each file.
    """
    content, step = b"", min(max(size, 4096), most) + 1
    while len(content) <= most and (more := os.read(descriptor, step)):
        content += more
    return content


def replace_file(
    path: Path, content: bytes, mode: int | None = None, *, temporary: str | None = None
) -> None:
    """Replace the content of a file at once, or make the file; None keeps the mode that it has.

    Another mode is exact, but for `USERS`. `temporary` names the file beside it that is written
    first.

    Raises:
        OSError: the folder cannot be written to.
    """
    old_mode = stat.S_IMODE(path.stat().st_mode) if mode is None else None
    with _file_beside(path, (content,), 0o600 if mode is None else mode, temporary) as beside:
        if old_mode is not None:
            beside.chmod(old_mode)
        beside.rename(path)


def read_values(path: Path, version: str) -> Any:
    """Return the plain values that `write_values` wrote under the same version, else None.

    The file is trusted as its folder is: the checksum is for what was spoilt, not for an attack.
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError:
        return None
    values = content[_CHECKSUM:]
    if content[:_CHECKSUM] != _checksum(version, values):
        return None
    return marshal.loads(values)  # noqa: S302 - the checksum is right, so we wrote it


def write_values(path: Path, version: str, values: Any) -> None:
    """Write plain values so that they are loaded in one call; leave it where that cannot be.

    Nothing is synced: what a power cut spoils has another checksum.
    """
    content = marshal.dumps(values)
    parts = (_checksum(version, memoryview(content)), content)
    with suppress(OSError):  # what cannot be remembered costs time, and nothing else
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with _file_beside(path, parts, 0o600, synced=False) as beside:
            beside.rename(path)


def _checksum(version: str, content: memoryview) -> bytes:
    python = f"{sys.implementation.cache_tag} {marshal.version}"  # marshal's form is Python's own
    checksum = hashlib.sha256(f"{version}\0{python}\0".encode())
    checksum.update(content)
    return checksum.digest()


def write_output(path: Path, content: bytes) -> None:
    """Write what a person asked for: into a device or a pipe, or as `replace_file` does.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():  # such as /dev/stdout, which a rename would replace
        with path.open("wb", buffering=0) as device:
            device.write(content)
        return
    replace_file(path, content, USERS)


def file_unusable(error: OSError) -> Refused | None:
    """Return an error of the operating system as ours, or None if it is not about a file.

    This is for errors that nobody has translated in words that fit better.
    """
    place = error.filename2 or error.filename
    if place is None and (error.strerror or "").startswith("No usable temporary directory"):
        hint = "let TMPDIR name a folder that can be written to"
        return Refused("file_unusable", str(error.strerror), hint=hint)
    if error.errno is None or (place is None and error.errno not in _OF_THE_MACHINE):
        return None
    name = f"{str(place)[:255]!r}: " if place is not None else ""
    return Refused("file_unusable", f"{name}{error.strerror}", hint=remedy(error))


def unwritable(path: object, error: OSError) -> NeedsEdit:
    """Return the error of a path that a person has named and that cannot be written."""
    message = f"{path} cannot be written: {error.strerror}"
    return NeedsEdit("value_invalid", message, hint=remedy(error))


def unusable(path: object, error: OSError, done: str) -> Refused:
    """Return the refusal of a file that cannot be `done`: `read` or `written`."""
    message = f"{path} cannot be {done}: {error.strerror}"
    absent = done == "read" and isinstance(error, FileNotFoundError)
    return Refused("file_unusable", message, hint="check the path" if absent else remedy(error))


def remedy(error: OSError) -> str:
    """Return what a person can do about a file that cannot be used."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "free some space there, or raise its limit, and run the command again"
        case errno.EACCES | errno.EPERM:
            return "run the command as a user who may use it, or change its owner or mode"
        case errno.EROFS:
            return "name a writable path"
        case errno.EMFILE | errno.ENFILE | errno.ENOMEM | errno.EIO:
            return "the machine lacks this resource, or the disk fails: see the system's log"
        case errno.ENOENT | errno.ENOTDIR:
            return "name a path in an existing folder"
        case _:
            return "check the path, and run the command again"


def has_kind(path: Path, kind: Callable[[int], bool]) -> bool:
    """Tell whether a file of a kind, such as `stat.S_ISREG`, is at a path; a link is not followed.

    Raises:
        OSError: that cannot be known.
    """
    try:
        return kind(path.lstat().st_mode)
    except ValueError:  # no path: it holds a NUL, say
        return False
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return False
        raise


def sync_folder(path: Path) -> None:
    """Make the names in a folder last through a power cut.

    Raises:
        OSError: it cannot be opened.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def file_beside(path: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Give a file (0600) that gets the name `path` once the block has filled it, and is synced.

    What a killed process left of it is written over by the next one for the same path.

    Raises:
        FileExistsError: `path` exists, unless it is to be replaced.
        Refused: `file_unusable`: another process writes it.
    """
    beside = path.with_name(f".{path.name}.partial")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message, hint = f"another process writes {path}", "wait for it, or name another file"
            raise Refused("file_unusable", message, hint=hint) from None
        try:
            if not replace and os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, "it exists", str(path))
            os.fchmod(file.fileno(), 0o600)
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())
            if replace:
                beside.rename(path)
            else:
                os.link(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def _file_beside(
    path: Path, parts: Iterable[bytes], mode: int, name: str | None = None, *, synced: bool = True
) -> Iterator[Path]:
    """Give a file of some content, in the folder of `path`; sync it, and the folder at the end."""
    beside = path.with_name(name or f".mosaic-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(beside, _NEW, mode), "wb") as file:
            if mode != USERS:
                os.fchmod(file.fileno(), mode)
            file.writelines(parts)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        yield beside
    except BaseException as error:  # a process that is interrupted leaves no file behind
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a write names no file, and the temporary one is nobody's
            error.filename = str(path)
        raise
    if synced:
        sync_folder(path.parent)
