"""The archive of a backup: a tar file of regular files, which has one spelling only.

    manifest.json    what follows, in this order, with size and SHA-256
    …                the members
    manifest.sha256  the sum of manifest.json

A reader knows each header before it reads it: it compares 512 octets, and interprets none. So a
link, a device, a name that leads elsewhere, a size that lies, and a changed octet are all the same:
not what the manifest says. Nothing is compressed, so nothing is larger than the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from reconciler.core.backup.manifest import (
    FORMAT,
    MAX_FILE,
    BackupManifest,
    Member,
    OtherFormat,
)
from reconciler.core.model.text import shown
from reconciler.errors import Refused
from reconciler.files import unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MANIFEST: Final = "manifest.json"
SUM: Final = "manifest.sha256"
BLOCK: Final = tarfile.BLOCKSIZE
CHUNK: Final = 1024 * 1024
END: Final = bytes(2 * BLOCK)
MODE: Final = 0o600


def write_archive(
    target: IO[bytes], manifest: BackupManifest, contents: Callable[[Member], Iterable[bytes]]
) -> None:
    """Write an archive; `contents` gives the octets of a member, which must be as many as it has.

    Raises:
        OSError: it cannot be written.
    """
    text = manifest.text().encode()
    _write_member(target, MANIFEST, len(text), (text,))
    for member in manifest.members:
        _write_member(target, member.name, member.size, contents(member))
    digest = _sum_of(text)
    _write_member(target, SUM, len(digest), (digest,))
    target.write(END)


def _write_member(target: IO[bytes], name: str, size: int, contents: Iterable[bytes]) -> None:
    target.write(_header(name, size))
    written = 0
    for chunk in contents:
        written += target.write(chunk)
    assert written == size, name
    target.write(_padding(size))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, MODE
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _sum_of(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()


@dataclass(frozen=True, slots=True)
class BackupArchive:
    """An archive that is open and whole: each octet of it is what its manifest says."""

    file: IO[bytes]
    manifest: BackupManifest
    offsets: dict[str, int]

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the octets of a member."""
        (member,) = (each for each in self.manifest.members if each.name == name)
        self.file.seek(self.offsets[name])
        left = member.size
        while left:
            chunk = self.file.read(min(CHUNK, left))
            if not chunk:
                raise _differs(f"{name} became shorter while it was read")
            left -= len(chunk)
            yield chunk

    def content(self, name: str) -> bytes:
        """Return the octets of a member that is no table."""
        return b"".join(self.chunks(name))


@contextmanager
def opened_archive(path: Path) -> Iterator[BackupArchive]:
    """Open an archive, once every sum has been verified.

    Raises:
        Refused: `backup_invalid`, naming what differs; `file_unusable`.
    """
    with ExitStack() as stack:
        try:
            # a pipe or a device would never end
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            file = stack.enter_context(os.fdopen(descriptor, "rb"))
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Refused("file_unusable", f"{path} is not a regular file", hint="name a file")
            archive = _verified(file)
        except OSError as error:
            raise unusable(path, error, "read") from None
        yield archive


def _verified(file: IO[bytes]) -> BackupArchive:
    text = _read_manifest(file)
    try:
        manifest = BackupManifest.parse(text)
    except OtherFormat as other:
        raise Refused(
            "backup_invalid",
            f"the backup has the format {other.name}, this version reads {FORMAT}",
            hint=f"install the version that made it: {shown(other.version)}",
        ) from None
    except ValueError as error:
        raise _differs(f"{MANIFEST}: {error}") from None
    offsets = {}
    for member in manifest.members:
        _expect(file, _header(member.name, member.size), member.name)
        offsets[member.name] = file.tell()
        _verify_member(file, member)
    digest = _sum_of(text)
    _expect(file, _header(SUM, len(digest)), SUM)
    if _read(file, len(digest), SUM) != digest:
        raise _differs(f"{MANIFEST} has the SHA-256 {digest[:64].decode()}, {SUM} says another")
    _expect(file, _padding(len(digest)) + END, "the end of the archive")
    if file.read(1):
        raise _differs("something follows the end of the archive")
    return BackupArchive(file, manifest, offsets)


def _read_manifest(file: IO[bytes]) -> bytes:
    header = _read(file, BLOCK, MANIFEST)
    try:
        size = tarfile.TarInfo.frombuf(header, "utf-8", "strict").size
    except (tarfile.HeaderError, ValueError):
        size = -1
    if not 0 < size <= MAX_FILE or header != _header(MANIFEST, size):
        raise _differs(f"it does not begin with {MANIFEST}: it is not a backup of this format")
    text = _read(file, size, MANIFEST)
    _expect(file, _padding(size), f"the padding of {MANIFEST}")
    return text


def _verify_member(file: IO[bytes], member: Member) -> None:
    digest, left = hashlib.sha256(), member.size
    while left:
        chunk = _read(file, min(CHUNK, left), member.name)
        digest.update(chunk)
        left -= len(chunk)
    if digest.hexdigest() != member.sha256:
        expected = f"{MANIFEST} says {member.sha256}"
        raise _differs(f"{member.name} has the SHA-256 {digest.hexdigest()}, {expected}")
    _expect(file, _padding(member.size), f"the padding of {member.name}")


def _read(file: IO[bytes], size: int, what: str) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise _differs(f"it ends within {what}: it is truncated")
    return content


def _expect(file: IO[bytes], expected: bytes, what: str) -> None:
    content = _read(file, len(expected), what)
    if content != expected:
        raise _differs(f"{what}: {_described(content)}")


def _described(header: bytes) -> str:
    """Return what stands in the place of what the manifest names."""
    try:
        info = tarfile.TarInfo.frombuf(header[:BLOCK], "utf-8", "replace")
    except tarfile.HeaderError:
        return "its octets are not those of a backup"
    kind = "a file" if info.isreg() else "a folder" if info.isdir() else "a link or a device"
    return f"in its place is {kind}, {shown(info.name)}, with {info.size:,} octets"


def _differs(message: str) -> Refused:
    hint = "nothing was restored from it; use another backup"
    return Refused("backup_invalid", message, hint=hint)
