"""A plan carried out: sets of rows, never a statement a row, in the transaction of the caller.

Every update is conditional on the digest that the plan saw; a row that has moved on since makes the
plan stale, and the transaction is rolled back.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.event_base import RowRef, peer_ref
from reconciler.core.audit.row_events import (
    HoldReleased,
    RowAdopted,
    RowCreated,
    RowReplaced,
    RowReverted,
    RowUpdated,
)
from reconciler.core.model.spec import GrantSpec, Kind, PeerSpec, kind_of
from reconciler.core.notices.model import NoticeEvent
from reconciler.core.plan.model import Action, GrantChange, PeerChange, Plan
from reconciler.store import ending
from reconciler.store.apply.provenance import record_run
from reconciler.store.apply.rows import (
    adopt,
    create_grants,
    create_peers,
    stale,
    update_grants,
    update_peers,
)
from reconciler.store.audit import log as audit
from reconciler.store.db import new_id
from reconciler.store.notices import conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.core.audit.events import Event
    from reconciler.core.audit.row_events import GrantRevoked, PeerRevoked
    from reconciler.core.model.spec import SourceLocation
    from reconciler.core.plan.model import AnyChange, Bookkeeping
    from reconciler.store.apply.provenance import Provenance
    from reconciler.store.apply.rows import NewIds
    from reconciler.store.db import Tx


def carry_out(
    tx: Tx,
    plan: Plan,
    provenance: Provenance,
    before: Sequence[Event] = (),
    *,
    recovers: bool = False,
) -> None:
    """Make the rows what the plan says: revocations, then updates, then creations, audit last.

    The bookkeeping of a plan without changes is done too. `before` are the events of what this
    transaction has done already. What was refused or failed is over if this apply `recovers` from
    it. A plan with changes is recorded as a run, with its records.

    Raises:
        Refused: `plan_stale`: a row is not what the plan saw.
    """
    created = plan.created
    now = tx.now()
    ids = {each: new_id(now) for each in created}
    replaced_or_gone = (Action.REVOKE, Action.REPLACE)
    ending_peers = plan.peer_changes(*replaced_or_gone)
    ending_grants = plan.grant_changes(*replaced_or_gone)
    _lock(tx, plan)
    revoked_grants = _revoke_grants(tx, ending_grants, provenance)
    if len(revoked_grants) != len(ending_grants):
        raise stale("a grant that was to be revoked has ended since the plan was made")
    revoked_peers = _revoke_peers(tx, ending_peers, provenance)
    update_peers(tx, plan.peer_changes(Action.UPDATE), provenance)
    update_grants(tx, plan.grant_changes(Action.UPDATE), provenance)
    create_peers(tx, plan.peer_changes(Action.CREATE, Action.REPLACE), ids, provenance)
    changed = [change for change in plan.changes if change.action is not Action.REVOKE]
    bookkeeping = _record_bookkeeping(tx, plan, provenance)
    notifies = changed or any(
        not isinstance(each, HoldReleased)
        for each in (*revoked_grants, *revoked_peers, *bookkeeping)
    )
    if notifies and provenance.commit is not None:  # their notice tells that the commit is applied
        conditions.forget(tx, NoticeEvent.COMMIT, [provenance.commit.id])
    # conditions are locked in the order of `record_pass`
    recovered = conditions.recover(tx, provenance.actor) if recovers else []
    create_grants(tx, plan.grant_changes(Action.CREATE, Action.REPLACE), ids, provenance)
    events = chain(  # made while grants are written
        *(before, recovered, revoked_grants, revoked_peers),
        _change_events(changed, provenance, ids),
        bookkeeping,
    )
    last = audit.append(tx, provenance.actor, events)
    if not plan.empty:
        own = len(revoked_grants) + len(revoked_peers) + len(changed) + len(bookkeeping)
        record_run(tx, plan, provenance, range(last - own + 1, last + 1))


def _record_bookkeeping(tx: Tx, plan: Plan, provenance: Provenance) -> list[Event]:
    """Record what is no change: rows that became git's, moved places, holds that are over.

    Return the events of those: a place that moved has none.
    """
    events: list[Event] = []
    if provenance.managed:
        adopt(tx, "federation_peers", plan.adopted_peers, provenance)
        adopt(tx, "federation_grants", plan.adopted_grants, provenance)
        books: list[Bookkeeping[Any, Any]] = [*plan.adopted_peers, *plan.adopted_grants]
        events += [event for book in books for event in _bookkeeping_events(book, provenance)]
    for kind, rows in ((Kind.PEER, plan.released_peers), (Kind.GRANT, plan.released_grants)):
        ending.release_holds(tx, kind, [row.id for row in rows])
        events += [
            HoldReleased(
                RowRef(kind, str(row.id), row.name),
                "manifest removed from git",
                provenance.as_json(),
            )
            for row in rows
        ]
    return events


def _lock(tx: Tx, plan: Plan) -> None:
    """Lock every live row that is written, and those that only bookkeeping changes."""
    changed = {change.row for change in plan.changes if change.row is not None}
    peers = {row.id for row in changed if isinstance(row.spec, PeerSpec)}
    grants = {row.id for row in changed if isinstance(row.spec, GrantSpec)}
    ending.lock_peers(tx, sorted(peers | {each.row.id for each in plan.adopted_peers}))
    ending.lock_grants(tx, sorted(grants | {each.row.id for each in plan.adopted_grants}))


def _revoke_grants(
    tx: Tx, changes: Sequence[GrantChange], provenance: Provenance
) -> list[GrantRevoked]:
    events: list[GrantRevoked] = []
    for reason in sorted({change.reason for change in changes}):
        ids = [c.row.id for c in changes if c.row is not None and c.reason == reason]
        events += ending.revoke_grants(tx, ids, reason, origin=provenance.as_json())
    return events


def _revoke_peers(
    tx: Tx, changes: Sequence[PeerChange], provenance: Provenance
) -> list[PeerRevoked]:
    events: list[PeerRevoked] = []
    for reason in sorted({change.reason for change in changes}):
        peers = [
            peer_ref(change.row.id, change.name)
            for change in changes
            if change.row is not None and change.reason == reason
        ]
        events += ending.revoke_peers(tx, peers, reason, origin=provenance.as_json())
    return events


_EVENTS: Final[dict[Action, type[RowCreated | RowUpdated | RowReplaced]]] = {
    Action.CREATE: RowCreated,
    Action.UPDATE: RowUpdated,
    Action.REPLACE: RowReplaced,
}


def _bookkeeping_events(
    book: Bookkeeping[Any, Any], provenance: Provenance
) -> list[RowAdopted | RowReverted]:
    """Return the events of a row that becomes git's, or whose stored digest is corrected.

    A place that moved has none.
    """
    row = RowRef(kind_of(book.declared.spec), str(book.row.id), book.row.name)
    place, origin = _place(book.declared.place), provenance.as_json()
    events: list[RowAdopted | RowReverted] = []
    if not book.row.managed:
        events.append(RowAdopted(row, place, origin))
    if book.corrects_digest:
        reverted = RowReverted(
            row,
            reason="its stored digest was changed by hand",
            digest=book.digest,
            spec=book.declared.spec.as_json(),
            fields=({"path": "digest", "old": book.row.digest, "new": book.digest},),
            place=place,
            origin=origin,
        )
        events.append(reverted)
    return events


def _change_events(
    changes: Iterable[AnyChange], provenance: Provenance, ids: NewIds
) -> Iterator[RowCreated | RowUpdated | RowReplaced]:
    """Yield the event of each change that is no revocation, of the row that lives on."""
    origin = provenance.as_json()
    for change in changes:
        assert change.declared is not None
        new_id = ids.get((change.kind, change.name))
        old_id = change.row.id if change.row is not None else None
        yield _EVENTS[change.action](
            RowRef(change.kind, str(new_id or old_id), change.name),
            reason=change.reason,
            digest=change.declared.digest,
            spec=change.declared.spec.as_json(),
            fields=tuple(field.as_json() for field in change.fields),
            managed=provenance.managed,
            replaces=str(old_id) if change.action is Action.REPLACE else None,
            place=_place(change.declared.place),
            origin=origin,
        )


def _place(place: SourceLocation) -> str:
    return f"{place.path}:{place.line}"
