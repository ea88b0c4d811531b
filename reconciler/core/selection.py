"""A plan of some objects only: the same plan, over the part of both sides that has their names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.plan import plan
from reconciler.core.spec import Kind
from reconciler.core.words import nearest
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.core.changes import Plan
    from reconciler.core.observed import Observed, ObservedGrant, ObservedPeer
    from reconciler.core.spec import Desired

Identity = tuple[Kind, str]


def narrowed_plan(desired: Desired, observed: Observed, wanted: frozenset[Identity]) -> Plan:
    """Return the plan of the `wanted` objects, whose guard still judges it against all of them.

    Raises:
        Refused: `name_unknown`: neither side knows one of them.
    """
    narrowed = plan(*select(desired, observed, wanted))
    rows: list[ObservedPeer | ObservedGrant] = [*observed.peers, *observed.grants]
    managed = sum(row.managed and not row.ended for row in rows)
    return replace(narrowed, source_empty=desired.empty, managed_before=managed)


def select(
    desired: Desired, observed: Observed, wanted: frozenset[Identity]
) -> tuple[Desired, Observed]:
    """Return the two sides without the objects that are not `wanted`: those stay as they are.

    A grant brings a peer that must be there first, a peer brings its grants, which end with it.

    Raises:
        Refused: `name_unknown`: neither side knows one of them.
    """
    _refuse_unknown(desired, observed, wanted)
    live = {row.name for row in observed.peers if not row.ended}
    named = frozenset(name for kind, name in wanted if kind is Kind.PEER)
    grants = frozenset(
        (
            *(name for kind, name in wanted if kind is Kind.GRANT),
            *(each.name for each in desired.grants if each.spec.peer in named),
            *(row.name for row in observed.grants if row.spec.peer in named),
        )
    )
    needed = {each.spec.peer for each in desired.grants if each.name in grants} - live
    peers = named | needed
    return (
        replace(
            desired,
            peers=tuple(each for each in desired.peers if each.name in peers),
            grants=tuple(each for each in desired.grants if each.name in grants),
        ),
        replace(
            observed,
            peers=tuple(row for row in observed.peers if row.name in peers),
            grants=tuple(row for row in observed.grants if row.name in grants),
        ),
    )


def _refuse_unknown(desired: Desired, observed: Observed, wanted: frozenset[Identity]) -> None:
    known = {
        *((Kind.PEER, each.name) for each in desired.peers),
        *((Kind.PEER, row.name) for row in observed.peers),
        *((Kind.GRANT, each.name) for each in desired.grants),
        *((Kind.GRANT, row.name) for row in observed.grants),
    }
    for kind, name in sorted(wanted - known):
        label = f"{str(kind).lower()}/{name}"
        close = nearest(label, [f"{str(kind).lower()}/{name}" for kind, name in known], cutoff=0.5)
        raise Refused(
            "name_unknown",
            f"neither the source nor the database has {label}",
            hint=f"did you mean {close}?" if close else "`mosaic federation plan` shows them all",
        )
