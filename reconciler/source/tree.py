"""The manifests of one commit, read from its tree without a checkout; nothing in it is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.files import MAX_FILE, SourceFile
from reconciler.core.text import printable
from reconciler.source.git import READING, refuse_dash
from reconciler.source.names import (
    Names,
    hidden,
    is_manifest,
    link,
    refuse_size,
    special,
    submodule,
    too_large,
    twice,
    unreadable,
)
from reconciler.source.process import Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.errors import Problem
    from reconciler.source.git import Repository

MAX_TOTAL: Final = 256 * 1024 * 1024  # octets of all manifests
RULES: Final = ".mosaic-trust.yaml"  # the rules of trust, at the root of the repository

_REGULAR: Final = ("100644", "100755")
_LINK: Final = "120000"
_SUBMODULE: Final = "160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `git ls-tree -l`: `size` in octets, 0 for what is no blob."""

    mode: str
    id: str
    size: int
    name: str

    @property
    def regular(self) -> bool:
        """Whether it is a file, and not a link or a submodule."""
        return self.mode in _REGULAR


def read_tree(
    repository: Repository, tree: str, where: str
) -> tuple[tuple[SourceFile, ...], tuple[Problem, ...]]:
    """Return the manifest files below a tree, and the problems that keep others out.

    Raises:
        NeedsEdit: `source_unreadable`: the tree holds too much, or its objects are damaged.
    """
    problems: list[Problem] = []
    chosen: list[Entry] = []
    names = Names()
    last = None
    for entry in sorted(_shown(repository, tree, where), key=lambda each: each.name):
        problem = twice(entry.name) if entry.name == last else _problem(entry, names)
        last = entry.name
        if problem is not None:
            problems.append(problem)
        else:
            chosen.append(entry)
    if sum(entry.size for entry in chosen) > MAX_TOTAL:
        raise unreadable(f"the manifests of {where} are more than {MAX_TOTAL // 1024 // 1024} MiB")
    blobs = read_blobs(repository, chosen)
    files = tuple(SourceFile(e.name, blob) for e, blob in zip(chosen, blobs, strict=True))
    return files, tuple(problems)


def subtree(repository: Repository, commit: str, path: str) -> str:
    """Return the hash of the tree of a folder in a commit; of its root for an empty path.

    Raises:
        NeedsEdit: `source_unreadable`: the commit has no such folder.
    """
    found = repository.object(f"{commit}:{path}")
    if found is None or repository.run("cat-file", "-t", found).strip() != b"tree":
        raise unreadable(f"{commit[:12]} has no folder {printable(path)!r}")
    return found


def checked_path(path: str) -> str:
    """Return a path within a repository without slashes at its ends, empty for its root.

    Raises:
        NeedsEdit: `source_unreadable`: it is absolute, leads outside, or begins with a dash.
    """
    refuse_dash(path, "the path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not path.isprintable():
        raise unreadable(f"the path {printable(path)!r} is none within a repository")
    return "/".join(parts)


def read_rules(repository: Repository, commit: str) -> str | None:
    """Return the text of the rules of trust at the root of a commit, None where it has none.

    Raises:
        NeedsEdit: `source_unreadable`: they are no regular file of text, or are too large.
    """
    listed = repository.run("ls-tree", "-z", "-l", "--full-tree", commit, "--", RULES)
    found = entries(listed)
    if not found:
        return None
    if len(found) > 1 or not found[0].regular or found[0].size > MAX_FILE:
        raise unreadable(f"{RULES} of {commit[:12]} is no regular file of at most 256 KiB")
    try:
        return read_blobs(repository, found)[0].decode()
    except UnicodeDecodeError:
        raise unreadable(f"{RULES} of {commit[:12]} is not UTF-8") from None


def entries(listed: bytes) -> list[Entry]:
    """Return the entries that `git ls-tree -z -l` prints."""
    found = []
    for record in listed.split(b"\0"):
        if record:
            facts, _, name = record.partition(b"\t")
            mode, _, identity, size = facts.decode("ascii").split()
            octets = int(size) if size.isdecimal() else 0
            found.append(Entry(mode, identity, octets, name.decode("utf-8", "surrogateescape")))
    return found


def read_blobs(repository: Repository, wanted: Sequence[Entry]) -> list[bytes]:
    """Return the contents of some blobs, in order, read by one process."""
    if not wanted:
        return []
    asked = "".join(f"{entry.id}\n" for entry in wanted).encode()
    bounds = Bounds(READING.seconds, sum(entry.size + 128 for entry in wanted))
    answer = memoryview(repository.run("cat-file", "--batch", input=asked, bounds=bounds))
    blobs, at = [], 0
    for entry in wanted:
        header = f"{entry.id} blob {entry.size}\n".encode()
        start, end = at + len(header), at + len(header) + entry.size
        if bytes(answer[at:start]) != header or bytes(answer[end : end + 1]) != b"\n":
            where = f"{entry.id[:12]} ({printable(entry.name)})"
            raise unreadable(f"the object {where} is missing or damaged")
        blobs.append(bytes(answer[start:end]))
        at = end + 1
    return blobs


def _shown(repository: Repository, tree: str, where: str) -> list[Entry]:
    """Return what may matter below a tree: manifests by their ending, all links and submodules."""
    listed = repository.run("ls-tree", "-r", "-z", "-l", "--full-tree", tree)
    found = [
        entry
        for entry in entries(listed)
        if not hidden(entry.name) and (is_manifest(entry.name) or entry.mode in (_LINK, _SUBMODULE))
    ]
    refuse_size(where, [entry.name for entry in found])
    return found


def _problem(entry: Entry, names: Names) -> Problem | None:
    """Return why an entry is not read; a link may lead to a folder, whatever its name."""
    if entry.mode == _LINK:
        return link(entry.name)
    if entry.mode == _SUBMODULE:
        return submodule(entry.name)
    if not entry.regular:
        return special(entry.name)
    return names.problem(entry.name) or (too_large(entry.name) if entry.size > MAX_FILE else None)
