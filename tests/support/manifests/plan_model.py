"""What an apply does to the rows, in memory: the plan's properties are judged against it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from reconciler.core.model.ids import GrantId, PeerId
from reconciler.core.model.observed import Observed, ObservedGrant, ObservedPeer
from reconciler.core.model.spec import Declared, GrantSpec, PeerSpec
from reconciler.core.model.states import GrantStatus, HoldKind, PeerStatus, live_grant_status
from reconciler.core.plan.model import Action, Bookkeeping, Change, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = TypeVar("Row", ObservedPeer, ObservedGrant)
Spec = TypeVar("Spec", PeerSpec, GrantSpec)


def applied(observed: Observed, plan: Plan) -> Observed:
    """Return the rows after `plan`, as the next observation sees them."""
    peers = {row.id: row for row in observed.peers if row not in plan.released_peers}
    grants = {row.id: row for row in observed.grants if row not in plan.released_grants}
    _carry_out(peers, plan.peer_changes(*Action), plan.adopted_peers)
    for peer in plan.peer_changes(Action.CREATE, Action.REPLACE):
        assert peer.declared is not None
        made = _new_peer(peer.declared)
        peers[made.id] = made
    _carry_out(grants, plan.grant_changes(*Action), plan.adopted_grants)
    live = {row.name: row.id for row in peers.values() if not row.ended}
    for grant in plan.grant_changes(Action.CREATE, Action.REPLACE):
        assert grant.declared is not None
        created = _new_grant(grant.declared, live[grant.declared.spec.peer])
        grants[created.id] = replace(created, hold=grant.inherited_hold)
    seen = (row for row in grants.values() if row.ended or row.spec.expires_at > observed.now)
    return Observed(observed.now, tuple(peers.values()), tuple(seen))


def _carry_out(
    rows: dict[PeerId, Row] | dict[GrantId, Row],
    changes: Iterable[Change[Row, Spec]],
    adopted: Iterable[Bookkeeping[Row, Spec]],
) -> None:
    by_id: dict[object, Row] = rows  # type: ignore[assignment]  # ids of either kind
    for change in changes:
        if change.row is None:
            continue
        if change.action is Action.UPDATE:
            assert change.declared is not None
            by_id[change.row.id] = _updated(change.row, change.declared)
        else:
            del by_id[change.row.id]
    for each in adopted:
        row = by_id[each.row.id]
        by_id[each.row.id] = replace(
            row, managed=True, place=each.declared.place, digest=each.digest
        )


def _updated(row: Row, declared: Declared[Spec]) -> Row:
    after = replace(
        row,
        spec=declared.spec,  # type: ignore[arg-type]  # a row and its manifest are of one kind
        digest=declared.digest,
        place=declared.place,
        managed=True,
    )
    if isinstance(after, ObservedGrant):
        held = after.hold is not None and after.hold.kind is HoldKind.SUSPEND
        status = live_grant_status(after.status, suspended=after.spec.suspended or held)
        return replace(after, status=status)
    return after


def _new_peer(declared: Declared[PeerSpec]) -> ObservedPeer:
    return ObservedPeer(
        id=PeerId(uuid.uuid4()),
        name=declared.name,
        spec=declared.spec,
        digest=declared.digest,
        status=PeerStatus.PENDING,
        managed=True,
        place=declared.place,
    )


def _new_grant(declared: Declared[GrantSpec], peer: PeerId) -> ObservedGrant:
    return ObservedGrant(
        id=GrantId(uuid.uuid4()),
        name=declared.name,
        peer_id=peer,
        spec=declared.spec,
        digest=declared.digest,
        status=GrantStatus.PENDING,
        managed=True,
        place=declared.place,
    )
