"""What a source holds, and which of it is read: one rule for a folder and for a commit's tree.

Nothing outside the source is read. Beyond it, only whether a link hides a folder is looked at, and
no further than the repository: what lies there is the same in a folder and in a tree.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, Protocol

from reconciler.errors import Problem
from reconciler.source.names import (
    SeenNames,
    is_manifest,
    link_problem,
    mistakable,
    refuse_size,
    repeat_problem,
    special_problem,
    submodule_problem,
    suffix_problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HOPS: Final = 40  # links on the way to one file, as Linux follows them (path_resolution(7))
MAX_TARGET: Final = 4095  # octets of a link's text


class NameKind(Enum):
    """What a name is in a listing."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SUBMODULE = "submodule"
    SPECIAL = "special file"


class LinkFault(Enum):
    """Where a link leads that ends nowhere within a listing."""

    OUTSIDE = "leads out of the source"
    MISSING = "leads to nothing"
    LOOP = "leads in a circle"


@dataclass(frozen=True, slots=True)
class ListedName:
    """A name in a source, relative to it, with `/`."""

    name: str
    kind: NameKind


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """Where a name leads: `place` holds what is there, `links` are those on the way."""

    at: NameKind | LinkFault
    place: str = ""
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: its name, and the place of its regular file, another where `links` lead to it."""

    name: str
    place: str
    links: tuple[str, ...] = ()


class SourceListing(Protocol):
    """The names of a folder or a tree, relative to its top, with `/`. Nothing is followed."""

    def entries(self) -> Iterable[ListedName]:
        """Return every name that is shown and is no folder, in any order."""

    def kind(self, name: str) -> NameKind | None:
        """Return what a name is; None where there is nothing."""

    def target(self, name: str) -> str:
        """Return the text of a link."""

    def around(self) -> tuple[SourceListing, str] | None:
        """Return the repository that holds it, and its own place there, with a `/` at the end."""


def follow(listing: SourceListing, name: str) -> LinkTarget:
    """Return where a name leads, by every link on the way, as a kernel walks it."""
    pending = deque(name.split("/"))
    at: list[str] = []
    links: list[str] = []
    end: NameKind | LinkFault = NameKind.FOLDER
    while pending and end is NameKind.FOLDER:
        part = pending.popleft()
        if part == ".." and at:
            at.pop()
        elif part == "..":
            end = LinkFault.OUTSIDE
        elif part not in ("", "."):
            at.append(part)
            kind = None if part.lower() == ".git" else listing.kind("/".join(at))
            end = LinkFault.MISSING if kind is None else kind
        if end is NameKind.LINK:
            links.append("/".join(at))
            at.pop()
            target = listing.target(links[-1])
            pending.extendleft(reversed(target.split("/")))
            end = _stray(target, len(links)) or NameKind.FOLDER
    if pending and end in (NameKind.FILE, NameKind.SPECIAL):  # neither is a folder on the way
        end = LinkFault.MISSING
    return LinkTarget(end, "/".join(at), tuple(links))


def _stray(target: str, hops: int) -> LinkFault | None:
    """Return why the text of a link leads astray by itself, after so many links."""
    if hops > MAX_HOPS:
        return LinkFault.LOOP
    if target.startswith("/"):
        return LinkFault.OUTSIDE
    long = len(target.encode("utf-8", "surrogateescape")) > MAX_TARGET
    return LinkFault.MISSING if long or not target else None


def choose(
    listing: SourceListing, where: str, *, ignored: frozenset[str] = frozenset()
) -> tuple[list[Manifest], list[Problem]]:
    """Return the manifests of a listing in order, and the problems that keep others out.

    Raises:
        NeedsEdit: `source_unreadable`: there are too many files, or one of them lies too deep.
    """
    entries = [each for each in listing.entries() if each.name not in ignored]
    refuse_size(where, [each.name for each in entries], sum(map(counts, entries)))
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    names, last = SeenNames(), None
    for entry in sorted(filter(counts, entries), key=lambda each: each.name):
        again = entry.name == last
        judged = repeat_problem(entry.name) if again else _judge(listing, entry, names, ignored)
        last = entry.name
        if isinstance(judged, Problem):
            problems.append(judged)
        elif judged is not None:
            manifests.append(judged)
    return manifests, problems


def counts(entry: ListedName) -> bool:
    """Tell whether a name may matter: as a manifest, or as a folder that a link or module hides."""
    return entry.kind in (NameKind.LINK, NameKind.SUBMODULE) or mistakable(entry.name)


def _judge(
    listing: SourceListing, entry: ListedName, names: SeenNames, ignored: frozenset[str]
) -> Manifest | Problem | None:
    name = entry.name
    if entry.kind is NameKind.SUBMODULE:
        return submodule_problem(name)
    if not is_manifest(name):
        if mistakable(name):
            return suffix_problem(name)
        hides = _hides_a_folder(listing, name, ignored)
        return link_problem(name, "may hide a folder") if hides else None
    problem = names.problem(name)
    if problem is not None:
        return problem
    if entry.kind is NameKind.SPECIAL:
        return special_problem(name)
    if entry.kind is NameKind.FILE:
        return Manifest(name, name)
    end = _follow_unless(ignored, listing, name)
    if end.at is NameKind.FILE:
        return Manifest(name, end.place, end.links)
    reason = end.at.value if isinstance(end.at, LinkFault) else f"leads to a {end.at.value}"
    return link_problem(name, reason)


def _follow_unless(ignored: frozenset[str], listing: SourceListing, name: str) -> LinkTarget:
    """Return where a name leads; a commit holds nothing at a place that git ignores."""
    end = follow(listing, name)
    return LinkTarget(LinkFault.MISSING, end.place, end.links) if end.place in ignored else end


def _hides_a_folder(listing: SourceListing, name: str, ignored: frozenset[str]) -> bool:
    """Tell whether a link that is no manifest leads to a folder, or to where nobody can tell.

    A tree knows nothing beyond its repository. There the name decides: CLAUDE.md is a file.
    """
    end = _follow_unless(ignored, listing, name)
    around = listing.around() if end.at is LinkFault.OUTSIDE else None
    if around is not None:
        end = follow(around[0], f"{around[1]}{name}")
    if end.at is LinkFault.OUTSIDE:
        return PurePosixPath(name).suffix in ("", ".d")
    return end.at in (NameKind.FOLDER, NameKind.SUBMODULE)
