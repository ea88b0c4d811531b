"""The manifests of one commit, read from its tree without a checkout; nothing in it is trusted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from reconciler.core.model.text import printable
from reconciler.core.source import MAX_FILE, SourceFile
from reconciler.core.trust.rules import RULES_FILE
from reconciler.errors import NeedsEdit
from reconciler.source.choice import MAX_TARGET, ListedName, NameKind, choose, follow
from reconciler.source.git.errors import error_summary
from reconciler.source.git.objects import Row, lacking, read_blobs, rows
from reconciler.source.names import (
    LOST_AND_FOUND,
    content_problem,
    hidden,
    passed_over,
    refuse_dash,
    refuse_total,
    size_problem,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.source import FileIndex, FileRecord
    from reconciler.errors import Problem
    from reconciler.source.choice import Manifest, SourceListing
    from reconciler.source.git.command import Repository


@dataclass(frozen=True, slots=True)
class TreeFiles:
    """What a tree holds: files as read, the problems, and by which links they were found.

    `tree` is its id, where the files depend on nothing else.
    """

    files: tuple[SourceFile, ...]
    problems: tuple[Problem, ...]
    manifests: tuple[Manifest, ...]
    tree: str | None = None


@dataclass(slots=True)
class TreeListing:
    """The names below a tree, `top`, of a commit, none where that is empty."""

    repository: Repository
    top: str
    commit: str
    prefix: str = ""  # its place in the commit, with a `/` at the end
    _rows: dict[str, Row] | None = None
    _all: list[Row] = field(default_factory=list)
    _entries: list[ListedName] | None = None
    _targets: dict[str, str] | None = None

    def row(self, name: str) -> Row:
        """Return the row of a name that the tree has."""
        return self._by_name()[name]

    def entries(self) -> list[ListedName]:
        """Return every name that is shown and is no folder, one that is there twice as often."""
        if self._entries is None:
            self._by_name()
            self._entries = [ListedName(each.name, each.kind) for each in self._all if _shown(each)]
        return self._entries

    def kind(self, name: str) -> NameKind | None:
        """Return what a name is; None where there is nothing."""
        row = self._by_name().get(name)
        return row.kind if row is not None else None

    def target(self, name: str) -> str:
        """Return the text of a link; empty for one that is longer than any may be."""
        if self._targets is None:
            links = [each for each in self._all if each.kind is NameKind.LINK]
            short = [each for each in links if each.size <= MAX_TARGET]
            self._targets = {
                each.name: text.decode("utf-8", "surrogateescape")
                for each, text in zip(short, read_blobs(self.repository, short), strict=True)
            }
        return self._targets.get(name, "")

    def around(self) -> tuple[SourceListing, str] | None:
        """Return the whole commit; None for its root."""
        if not self.prefix:
            return None
        return TreeListing(self.repository, f"{self.commit}^{{tree}}", self.commit), self.prefix

    def _by_name(self) -> dict[str, Row]:
        if self._rows is None and not self.top:
            self._rows = {}
        if self._rows is None:
            words = ("ls-tree", "-r", "-t", "-z", "-l", "--full-tree", self.top)
            result = self.repository.ask(*words)
            if result.code != 0:
                where = f"an object of {self.commit[:12]} ({error_summary(result)})"
                raise lacking(self.repository, where)
            self._all = rows(result.output)
            self._rows = {each.name: each for each in reversed(self._all)}  # the first counts
        return self._rows


def read_tree(listing: TreeListing, where: str, index: FileIndex) -> TreeFiles:
    """Return the manifest files below a tree, and the problems that keep others out.

    A tree that the `index` was made of is not listed, and a blob that it has is not read.

    Raises:
        NeedsEdit: `source_unreadable`: the tree holds too much, or its objects are damaged.
    """
    repository = listing.repository
    if listing.top and listing.top == index.tree:
        known = (_known_file(repository, *each) for each in index.files.items())
        return TreeFiles(tuple(known), (), (), listing.top)
    manifests, problems = choose(listing, where)
    chosen: list[tuple[Manifest, Row]] = []
    for each in manifests:
        row = listing.row(each.place)
        if row.size > MAX_FILE:
            problems.append(size_problem(each.name))
        else:
            chosen.append((each, row))
    refuse_total(where, sum(row.size for _, row in chosen))
    files = tuple(_read_files(repository, chosen, index, problems))
    links = any(each.kind in (NameKind.LINK, NameKind.SUBMODULE) for each in listing.entries())
    tree = None if links or problems else listing.top
    return TreeFiles(files, tuple(problems), tuple(manifests), tree)


def _read_files(
    repository: Repository,
    chosen: list[tuple[Manifest, Row]],
    index: FileIndex,
    problems: list[Problem],
) -> Iterator[SourceFile]:
    """Yield the files of some manifests; the problems of their contents are added to `problems`."""
    known = {record[2]: record for record in index.files.values() if record[2] is not None}
    new = [row for _, row in chosen if row.id not in known]
    blobs = iter(read_blobs(repository, new))
    for each, row in chosen:
        if row.id in known:
            yield _known_file(repository, each.name, known[row.id])
            continue
        content = next(blobs)
        problem = content_problem(each.name, content)
        if problem is not None:
            problems.append(problem)
            continue
        file = SourceFile(each.name, content)
        file.blob = row.id
        yield file


def _known_file(repository: Repository, name: str, record: FileRecord) -> SourceFile:
    """Return a file whose content is read only where it is needed."""
    _, digest, blob = record
    assert blob is not None
    load = partial(repository.run, "cat-file", "blob", blob)
    return SourceFile(name, record=(None, digest, blob), load=load)


def list_tree(repository: Repository, commit: str, path: str) -> TreeListing:
    """Return the listing of a folder in a commit; of its root for an empty path.

    Raises:
        NeedsEdit: `source_unreadable`: the commit has no such folder, or the clone lacks it.
    """
    root = repository.object(f"{commit}^{{tree}}")
    if root is None or repository.ask("cat-file", "-e", root).code != 0:
        raise lacking(repository, f"the tree of {commit[:12]}")
    whole = TreeListing(repository, root, commit)
    if not path:
        return whole
    listed = repository.ask("ls-tree", "-z", "-l", "--full-tree", commit, "--", path)
    kinds = [each.kind for each in rows(listed.output)] if listed.code == 0 else [whole.kind(path)]
    end = follow(whole, path) if kinds == [NameKind.LINK] else None
    if (
        end is not None and end.at is NameKind.FOLDER
    ):  # who may repoint it could change all that is read
        raise NeedsEdit(
            "source_unreadable",
            f"{printable(path)!r} of {commit[:12]} is a symbolic link, expected a folder",
            hint=f"name the folder that it leads to: --path {printable(end.place, 255)}",
        )
    plain = repository.object(f"{commit}:{path}")
    if plain is None or repository.run("cat-file", "-t", plain).strip() != b"tree":
        raise unreadable(f"{commit[:12]} has no folder {printable(path)!r}")
    return TreeListing(repository, plain, commit, f"{path}/")


def checked_path(path: str) -> str:
    """Return a path within a repository without slashes at its ends, empty for its root.

    Raises:
        NeedsEdit: `source_unreadable`: it is absolute, leads outside, or begins with a dash.
    """
    refuse_dash(path, "the path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not path.isprintable():
        raise unreadable(f"the path {printable(path)!r} is not a path within a repository")
    return "/".join(parts)


def read_rules(repository: Repository, commit: str) -> str | None:
    """Return the text of the rules of trust at the root of a commit, None where it has none.

    Raises:
        NeedsEdit: `source_unreadable`: they are no regular file of text, or are too large.
    """
    listed = repository.run("ls-tree", "-z", "-l", "--full-tree", commit, "--", RULES_FILE)
    listed_rows = rows(listed)
    if not listed_rows:
        return None
    row = listed_rows[0]
    if len(listed_rows) > 1 or row.kind is not NameKind.FILE or row.size > MAX_FILE:
        raise unreadable(f"{RULES_FILE} of {commit[:12]} is not a regular file of at most 256 KiB")
    try:
        return read_blobs(repository, listed_rows)[0].decode()
    except UnicodeDecodeError:
        raise unreadable(f"{RULES_FILE} of {commit[:12]} is not UTF-8") from None


def _shown(row: Row) -> bool:
    if row.kind is NameKind.FOLDER or hidden(row.name):
        return False
    return LOST_AND_FOUND not in row.name or not any(map(passed_over, row.name.split("/")[:-1]))
