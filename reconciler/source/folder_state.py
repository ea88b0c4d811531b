"""How a folder of manifests looks now, by `stat` alone: two snapshots differ where a read would."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.model.spec import MANIFEST_SUFFIXES
from reconciler.source.names import MAX_FOLDERS, hidden

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS: Final = "/proc/self/mountinfo"
# file systems on which another machine, or the host of a virtual one, writes without our kernel
# knowing of it (inotify(7), "Limitations and caveats")
_SHARED: Final = frozenset(
    {
        *("9p", "cifs", "nfs", "nfs4", "smb3", "smbfs"),
        *("afs", "beegfs", "ceph", "gfs2", "glusterfs", "gpfs", "lustre", "ocfs2", "orangefs"),
        *("fakeowner", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"),
    }
)


@dataclass(frozen=True, slots=True)
class FolderIdentity:
    """One folder: a path names another one once it was moved away, or something mounted over it."""

    path: str
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a source folder looked: each `folder` that manifests are in, the source itself first.

    There are none where the source is missing. `digest` covers names, links, identities, sizes,
    modes and times of folders and manifest files, not their content.
    """

    folders: tuple[FolderIdentity, ...]
    digest: bytes

    @property
    def source(self) -> FolderIdentity | None:
        """The source itself."""
        return self.folders[0] if self.folders else None


def take_snapshot(root: Path) -> Snapshot:
    """Return how `root` looks; what cannot be looked at is part of it, and raises nothing."""
    walk = _Walk(os.path.realpath(root))
    walk.visit(walk.root, MAX_FOLDERS)
    return Snapshot(tuple(walk.folders.values()), walk.digest.digest())


class _Walk:
    """One walk. It follows links within the source, and enters each folder once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.folders: dict[tuple[int, int], FolderIdentity] = {}
        self.visited: set[tuple[int, int]] = set()
        self.digest = hashlib.sha256()

    def visit(self, path: str, depth: int) -> None:
        try:
            status = os.stat(path)
            if not stat.S_ISDIR(status.st_mode):
                self._add(path, "no folder")
                return
            identity = self._add_folder(path, status)
            if identity in self.visited or not depth:
                return
            self.visited.add(identity)
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self._add(path, error.errno)
            return
        for entry in entries:
            if not hidden(entry.name):
                self._look_at(entry, depth)

    def _look_at(self, entry: os.DirEntry[str], depth: int) -> None:
        try:
            link = os.readlink(entry.path) if entry.is_symlink() else None
            status = entry.stat()
        except OSError as error:  # a link to nothing, or it has just been removed
            self._add(entry.path, error.errno)
            return
        if link is not None:
            self._add(entry.path, link)
            target = os.path.realpath(entry.path)
            if os.path.commonpath((target, self.root)) != self.root:
                return  # never read: nothing outside is walked, or watched
            if not stat.S_ISDIR(status.st_mode):
                self._add_parent(target)
        if stat.S_ISDIR(status.st_mode):
            self.visit(entry.path, depth - 1)
        elif entry.name.lower().endswith(MANIFEST_SUFFIXES):
            self._add(
                entry.path,
                *(status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid),
                *(status.st_size, status.st_mtime_ns, status.st_ctime_ns),
            )

    def _add_parent(self, target: str) -> None:
        """Take the folder of a link's target along, so that it is watched too."""
        parent = os.path.dirname(target)
        try:
            self._add_folder(parent, os.stat(parent))
        except OSError as error:
            self._add(parent, error.errno)

    def _add_folder(self, path: str, status: os.stat_result) -> tuple[int, int]:
        identity = (status.st_dev, status.st_ino)
        self.folders.setdefault(identity, FolderIdentity(path, *identity))
        self._add(path, *identity, status.st_mode, status.st_uid, status.st_gid)
        return identity

    def _add(self, path: str, *facts: object) -> None:
        self.digest.update(repr((path, *facts)).encode("utf-8", "surrogateescape"))


def shared_file_system(snapshot: Snapshot, mounts: str = MOUNTS) -> str | None:
    """Return the type of the first file system below a source that others write to unseen."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            types = _mount_types(file.read())
    except OSError:
        return None
    first_on = {each.device: each.path for each in reversed(snapshot.folders)}
    for path in sorted(first_on.values(), key=len):
        kind = types[max((point for point in types if _within(path, point)), key=len)]
        if kind in _SHARED or kind.startswith("fuse"):
            return kind
    return None


def _mount_types(listing: str) -> dict[str, str]:
    """Return the type of what is mounted at each point, the uppermost (proc(5), mountinfo)."""
    types = {"/": "unknown"}
    for line in listing.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            point = point.replace(code, character)
        types[point] = after.split()[0]
    return types


def _within(path: str, point: str) -> bool:
    return path == point or path.startswith(f"{point.rstrip('/')}/")
