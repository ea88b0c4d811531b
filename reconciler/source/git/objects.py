"""The objects of a repository: the rows of a tree, and the contents of blobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.errors import NeedsEdit
from reconciler.process import Bounds
from reconciler.source.choice import NameKind
from reconciler.source.git.command import READING
from reconciler.source.git.environment import git_version
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.source.git.command import Repository

_REFETCHES: Final = (2, 36)  # the git that has `fetch --refetch`
_KINDS: Final = {
    "100644": NameKind.FILE,
    "100755": NameKind.FILE,
    "100664": NameKind.FILE,  # of a git before 2005
    "040000": NameKind.FOLDER,
    "120000": NameKind.LINK,
    "160000": NameKind.SUBMODULE,
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of `git ls-tree -l`: `size` in octets, 0 for what is no blob."""

    mode: str
    id: str
    size: int
    name: str

    @property
    def kind(self) -> NameKind:
        """What it is; of modes that git does not know, a special file."""
        return _KINDS.get(self.mode, NameKind.SPECIAL)


def lacking(repository: Repository, what: str) -> NeedsEdit:
    """Return the error of an object that a clone does not have: a partial one is never completed.

    Its code is `source_unreadable`.
    """
    partial = repository.ask(
        "config", "--get-regexp", r"^remote\..*\.(promisor|partialclonefilter)$"
    )
    if partial.code != 0 or not partial.output:
        return unreadable(f"{what} is missing or damaged")
    hint = "clone it again without --filter"
    if git_version() >= _REFETCHES:
        command = f"git --git-dir={repository.folder} fetch --refetch --no-filter"
        hint = f"complete the clone: {command}, or {hint}"
    return NeedsEdit(
        "source_unreadable",
        f"{what} is missing: this is a partial clone, and it lacks objects",
        hint=hint,
    )


def rows(listed: bytes) -> list[Row]:
    """Return the rows that `git ls-tree -z -l` prints."""
    blobs = []
    for record in listed.split(b"\0"):
        if record:
            facts, _, name = record.partition(b"\t")
            mode, _, identity, size = facts.decode("ascii").split()
            octets = int(size) if size.isdecimal() else 0
            blobs.append(Row(mode, identity, octets, name.decode("utf-8", "surrogateescape")))
    return blobs


def read_blobs(repository: Repository, wanted: Sequence[Row]) -> list[bytes]:
    """Return the contents of some blobs, in order, read by one process."""
    if not wanted:
        return []
    requests = "".join(f"{entry.id}\n" for entry in wanted).encode()
    bounds = Bounds(READING.seconds, sum(entry.size + 128 for entry in wanted))
    answer = memoryview(repository.run("cat-file", "--batch", content=requests, bounds=bounds))
    blobs, at = [], 0
    for entry in wanted:
        header = f"{entry.id} blob {entry.size}\n".encode()
        start, end = at + len(header), at + len(header) + entry.size
        if bytes(answer[at:start]) != header or bytes(answer[end : end + 1]) != b"\n":
            where = f"{entry.id[:12]} ({printable(entry.name)})"
            raise lacking(repository, f"the object {where}")
        blobs.append(bytes(answer[start:end]))
        at = end + 1
    return blobs
