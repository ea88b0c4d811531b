"""A plan of some objects only: the same plan, over the part of both sides that has their names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.core.model.spec import Identity, Kind
from reconciler.core.plan.plan import plan
from reconciler.core.spelling import nearest_label
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.model.observed import Observed, ObservedGrant, ObservedPeer
    from reconciler.core.model.spec import Desired
    from reconciler.core.plan.model import Plan


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a plan is about: `only` these where any are named, and none of `but`."""

    only: frozenset[Identity] = frozenset()
    but: frozenset[Identity] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether it leaves nothing out."""
        return not self.only and not self.but


def narrowed_plan(desired: Desired, observed: Observed, selection: Selection) -> Plan:
    """Return the plan of the selected objects, whose counts and guard are still out of all.

    Raises:
        Refused: `name_unknown`: neither side knows one of them.
    """
    if selection.whole:
        return plan(desired, observed)
    narrowed = plan(*select(desired, observed, selection))
    rows: list[ObservedPeer | ObservedGrant] = [*observed.peers, *observed.grants]
    managed = sum(row.managed and not row.ended for row in rows)
    summary = narrowed.summary
    unchanged = summary.unchanged + managed - narrowed.managed_before
    return replace(
        narrowed,
        summary=replace(summary, unchanged=unchanged),
        source_empty=desired.empty,
        managed_before=managed,
    )


def select(desired: Desired, observed: Observed, selection: Selection) -> tuple[Desired, Observed]:
    """Return the two sides without the objects that are not selected: those stay as they are.

    - a targeted peer brings its grants, a targeted grant a peer that must be there first; where
      that is replaced for it, its other grants come along;
    - an excluded peer leaves out its grants, an excluded grant the end of its peer: both would
      change without it. The peer's other grants change as they would.

    Raises:
        Refused: `name_unknown`: neither side knows one of them.
    """
    _refuse_unknown(desired, observed, selection.only | selection.but)
    if selection.only:
        desired, observed = _only(desired, observed, selection.only)
    if selection.but:
        desired, observed = _without(desired, observed, selection.but)
    return desired, observed


def _only(
    desired: Desired, observed: Observed, wanted: frozenset[Identity]
) -> tuple[Desired, Observed]:
    there = {row.name: row.spec.direction for row in observed.peers if not row.ended}
    declared = {each.name: each.spec.direction for each in desired.peers}
    peers = _names(wanted, Kind.PEER)
    grants = _names(wanted, Kind.GRANT) | _grants_of(desired, observed, peers)
    called = {each.spec.peer for each in desired.grants if each.name in grants}
    needed = {name for name in called if there.get(name) is not declared.get(name)}
    grants |= _grants_of(desired, observed, needed & there.keys())
    return _restricted(desired, observed, peers=peers | needed, grants=grants)


def _without(
    desired: Desired, observed: Observed, unwanted: frozenset[Identity]
) -> tuple[Desired, Observed]:
    peers = _names(unwanted, Kind.PEER)
    grants = _names(unwanted, Kind.GRANT) | _grants_of(desired, observed, peers)
    declared = {each.name: each.spec.direction for each in desired.peers}
    held_by = {row.spec.peer for row in observed.grants if row.name in grants}
    peers |= {
        row.name
        for row in observed.peers
        if row.name in held_by and declared.get(row.name) is not row.spec.direction
    }
    all_peers = {*(each.name for each in desired.peers), *(row.name for row in observed.peers)}
    all_grants = {*(each.name for each in desired.grants), *(row.name for row in observed.grants)}
    return _restricted(desired, observed, peers=all_peers - peers, grants=all_grants - grants)


def _restricted(
    desired: Desired, observed: Observed, *, peers: Iterable[str], grants: Iterable[str]
) -> tuple[Desired, Observed]:
    selected_peers, selected_grants = frozenset(peers), frozenset(grants)
    return (
        replace(
            desired,
            peers=tuple(each for each in desired.peers if each.name in selected_peers),
            grants=tuple(each for each in desired.grants if each.name in selected_grants),
        ),
        replace(
            observed,
            peers=tuple(row for row in observed.peers if row.name in selected_peers),
            grants=tuple(row for row in observed.grants if row.name in selected_grants),
        ),
    )


def _names(identities: frozenset[Identity], wanted: Kind) -> frozenset[str]:
    return frozenset(name for kind, name in identities if kind is wanted)


def _grants_of(desired: Desired, observed: Observed, peers: Iterable[str]) -> frozenset[str]:
    named = frozenset(peers)
    return frozenset(
        (
            *(each.name for each in desired.grants if each.spec.peer in named),
            *(row.name for row in observed.grants if row.spec.peer in named),
        )
    )


def _refuse_unknown(desired: Desired, observed: Observed, wanted: frozenset[Identity]) -> None:
    known = {
        *((Kind.PEER, each.name) for each in desired.peers),
        *((Kind.PEER, row.name) for row in observed.peers),
        *((Kind.GRANT, each.name) for each in desired.grants),
        *((Kind.GRANT, row.name) for row in observed.grants),
    }
    for kind, name in sorted(wanted - known):
        label = kind.subject(name)
        close = nearest_label(label, [kind.subject(name) for kind, name in known])
        raise Refused(
            "name_unknown",
            f"neither the source nor the database has {label}",
            hint=f"did you mean {close}?" if close else "`mosaic federation plan` shows them all",
        )
