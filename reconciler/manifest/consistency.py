"""The rules between manifests: a name is declared once, and a grant's peer is an inbound one.

The rules read declarations alone, so that they judge files that were parsed and files that are
known from the cache alike; the problems need the documents too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from reconciler.core.model.spec import Direction, Kind
from reconciler.core.model.text import shown
from reconciler.errors import Problem
from reconciler.manifest.reader import Document, Path, path_text
from reconciler.manifest.validation_errors import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a manifest says that it declares: kind, name, and of a grant the peer."""

    kind: str
    name: str
    peer: str | None


@dataclass(frozen=True, slots=True)
class DocumentDeclaration(Declaration):
    """A declaration and the document that makes it, whatever else is wrong with that."""

    document: Document


_D = TypeVar("_D", bound=Declaration)


def duplicates(declarations: Iterable[_D]) -> Iterator[tuple[_D, _D]]:
    """Yield each declaration whose kind and name are declared before, after the first of them."""
    first: dict[tuple[str, str], _D] = {}
    for each in declarations:
        before = first.setdefault((each.kind, each.name), each)
        if before is not each:
            yield before, each


def wrong_peers(
    declarations: Sequence[_D], directions: Mapping[str, Direction]
) -> Iterator[tuple[_D, Direction | None]]:
    """Yield each grant whose peer is not an inbound one, and its direction: None if not declared.

    `directions` are those of the valid peers; one with problems of its own counts as declared.
    """
    peers = _peer_names(declarations, directions)
    for each in declarations:
        if each.kind != Kind.GRANT or each.peer is None:
            continue
        if each.peer not in peers:
            yield each, None
        elif directions.get(each.peer) is Direction.OUTBOUND:
            yield each, Direction.OUTBOUND


def duplicate_problems(declarations: Iterable[DocumentDeclaration]) -> Iterator[Problem]:
    """Yield a problem for each name that is declared again."""
    for first, again in duplicates(declarations):
        line, _ = first.document.mark(("metadata", "name"))
        place = f"{first.document.file}:{line}"
        message = f"{again.kind} {shown(again.name)} is declared already, at {place}"
        yield _problem(again, ("metadata", "name"), "name.duplicate", message, "rename it")


def peer_problems(
    declarations: Sequence[DocumentDeclaration],
    directions: Mapping[str, Direction],
    *,
    complete: bool = True,
) -> Iterator[Problem]:
    """Yield a problem for each grant whose peer is not an inbound one.

    Where the source is not `complete`, because only some of its files were read, a peer that is
    not known is a warning.
    """
    peers = _peer_names(declarations, directions)
    for each, direction in wrong_peers(declarations, directions):
        peer, severity = each.peer or "", "error"
        if direction is not None:
            message = f"the Peer {shown(peer)} is outbound"
            hint = "a grant is for a peer that calls us: direction: inbound"
        elif complete:
            message = f"there is no Peer {shown(peer)} in this source"
            hint = suggestion(peer, peers) or "declare it, with direction: inbound"
        else:
            severity = "warning"
            message = f"there is no Peer {shown(peer)} in what was read"
            hint = "validate the folder of all manifests to check it"
        yield _problem(each, ("spec", "peer"), "grant.peer", message, hint, severity)


def _peer_names(
    declarations: Iterable[Declaration], directions: Mapping[str, Direction]
) -> set[str]:
    return {each.name for each in declarations if each.kind == Kind.PEER} | directions.keys()


def _problem(
    declaration: DocumentDeclaration,
    path: Path,
    code: str,
    message: str,
    hint: str,
    severity: str = "error",
) -> Problem:
    document = declaration.document
    mark = document.mark(path)
    return Problem(document.file, *mark, code, path_text(path), message, hint, severity)
