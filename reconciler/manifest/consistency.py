"""The rules between manifests: a name is declared once, and a grant's peer is an inbound one.

The cache of manifests asks only whether both hold, and leaves what does not to these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.model.spec import Direction, Kind
from reconciler.core.model.text import shown
from reconciler.manifest.validation_errors import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.errors import Problem
    from reconciler.manifest.yaml.reader import Document

MOST_COMPARED: Final = 10_000  # names with names, for hints: a tenth of a millisecond each


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a document says that it declares, whatever else is wrong with it.

    That is its kind, its name, and of a grant the peer.
    """

    kind: str
    name: str
    peer: str | None
    document: Document


def duplicate_problems(declarations: Iterable[Declaration]) -> Iterator[Problem]:
    """Yield a problem for each name that is declared again, after the first of its kind."""
    declared: dict[tuple[str, str], Declaration] = {}
    for each in declarations:
        first = declared.setdefault((each.kind, each.name), each)
        if first is each:
            continue
        line, _ = first.document.mark(("metadata", "name"))
        place = f"{first.document.file}:{line}"
        message = f"{each.kind} {shown(each.name)} is declared already, at {place}"
        yield each.document.problem(("metadata", "name"), "name.duplicate", message, "rename it")


def peer_problems(
    declarations: Sequence[Declaration],
    directions: Mapping[str, Direction],
    *,
    complete: bool = True,
) -> Iterator[Problem]:
    """Yield a problem for each grant whose peer is not an inbound one.

    `directions` are those of the valid peers; one with problems of its own counts as declared.
    Where the source is not `complete`, because only some of its files were read, a peer that is
    not known is a warning.
    """
    peers = {each.name for each in declarations if each.kind == Kind.PEER} | directions.keys()
    near: dict[str, str] = {}  # thousands of grants may name the same peer
    for each in declarations:
        if each.kind != Kind.GRANT or each.peer is None:
            continue
        peer, severity = each.peer, "error"
        if directions.get(peer) is Direction.OUTBOUND:
            message = f"the Peer {shown(peer)} is outbound"
            hint = "a grant is for a peer that calls us: direction: inbound"
        elif peer in peers:
            continue
        elif complete:
            message = f"there is no Peer {shown(peer)} in this source"
            if peer not in near:
                affordable = (len(near) + 1) * len(peers) <= MOST_COMPARED
                near[peer] = suggestion(peer, peers) if affordable else ""
            hint = near[peer] or "declare it, with direction: inbound"
        else:
            severity = "warning"
            message = f"there is no Peer {shown(peer)} in what was read"
            hint = "validate the folder of all manifests to check it"
        yield each.document.problem(("spec", "peer"), "grant.peer", message, hint, severity)
