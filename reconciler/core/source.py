"""A source as it was read: its files as bytes, and the problems of files that were left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.core.model.commits import Commit, History
    from reconciler.core.trust.claims import Lineage
    from reconciler.errors import Problem

MAX_FILE: Final = 256 * 1024  # octets


Stamp = tuple[int, int, int, int, int]  # device, inode, size, mtime_ns, ctime_ns


class SourceFile:
    """One manifest file: `path` is relative to the source, with `/`.

    A file that is known to be as it was has the `digest` of its content, which is read by `load`
    where it is needed all the same. `stamp` says by what the file can be known again, if by
    anything; `blob` is its id in a repository, if that was computed or read.
    """

    __slots__ = ("_content", "_digest", "_load", "blob", "path", "stamp")

    def __init__(
        self,
        path: str,
        content: bytes | None = None,
        *,
        record: FileRecord | None = None,
        load: Callable[[], bytes] | None = None,
    ) -> None:
        assert content is not None or (record is not None and load is not None)
        self.path = path
        self._content = content
        self._load = load
        self.stamp: Stamp | None = None
        self.blob: str | None = None
        self._digest: bytes | None = None
        if record is not None:
            self.stamp, self._digest, self.blob = record

    @property
    def content(self) -> bytes:
        """The octets of the file.

        Raises:
            Retry: `source_unavailable`: it was changed after it was found to be as it was.
        """
        if self._content is None:
            assert self._load is not None
            content = self._load()
            if hashlib.sha256(content).digest() != self._digest:
                raise Retry(
                    "source_unavailable",
                    f"{self.path} changed while it was read",
                    hint="nothing was changed; run the command again",
                )
            self._content = content
        return self._content

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the content."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.content).digest()
        return self._digest

    @property
    def record(self) -> FileRecord:
        """What is remembered of the file."""
        return (self.stamp, self.digest, self.blob)

    def __eq__(self, other: object) -> bool:
        """Tell whether two files have the same path and content."""
        if not isinstance(other, SourceFile):
            return NotImplemented
        return (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash((self.path, self.digest))

    def __repr__(self) -> str:
        return f"SourceFile({self.path!r}, sha256:{self.digest.hex()[:12]})"


FileRecord = tuple[Stamp | None, bytes, str | None]  # stamp, digest and blob of a file


@dataclass(frozen=True, slots=True)
class FileIndex:
    """The files of a source as they were read last, by path.

    `tree` is the tree of a repository that they are, where nothing beyond it was looked at.
    """

    files: Mapping[str, FileRecord] = field(default_factory=dict)
    tree: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """All manifest files of a source, sorted by path; `label` says where they came from.

    `commit` is the one that was read, None where no repository holds the files; `dirty` tells
    that they differ from it. `history` is there for a git source only, and its `lineage` if
    signatures are verified.
    """

    label: str
    files: tuple[SourceFile, ...]
    problems: tuple[Problem, ...] = ()
    commit: Commit | None = None
    dirty: bool = False
    history: History | None = None
    lineage: Lineage | None = field(default=None, compare=False)
    tree: str | None = field(default=None, compare=False)
