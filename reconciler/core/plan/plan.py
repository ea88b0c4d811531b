"""The plan: an ordered, deterministic list of changes that makes the rows what git declares.

Pure: the same source and the same rows give the same plan, whatever order they come in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.model.scope import Effect
from reconciler.core.model.spec import (
    Declared,
    Desired,
    GrantSpec,
    Kind,
    PeerSpec,
    Spec,
    spec_digest,
)
from reconciler.core.plan.diff import FieldChange, declared_fields, diff
from reconciler.core.plan.model import (
    Action,
    AnyChange,
    Bookkeeping,
    Change,
    GrantChange,
    PeerChange,
    Plan,
    RowT,
    Side,
    SpecT,
    Summary,
)
from reconciler.core.plan.notes import changed_by_hand, ended_notes, notes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from reconciler.core.model.observed import (
        LiveCertificate,
        Observed,
        ObservedGrant,
        ObservedPeer,
    )


def plan(desired: Desired, observed: Observed) -> Plan:
    """Return what makes the rows of `observed` what `desired` declares.

    - A manifest without a row is created, unless its end has passed or an operator holds it.
    - A row whose manifest says something else is updated in place; another direction of a peer,
      another peer or subject user of a grant replaces it.
    - A managed row without a manifest is revoked; one that git has not seen yet is listed.
    - An end that is moved into the past revokes: it takes the authority away at once.
    - The grants of a peer that goes, go with it.
    """
    peers = Side(observed.peers, desired.peers, observed.equal_peers)
    grants = Side(observed.grants, desired.grants, observed.equal_grants)
    peer_changes = tuple(_plan_peers(peers))
    gone = {
        change.name: change
        for change in peer_changes
        if change.action in (Action.REVOKE, Action.REPLACE)
    }
    held_peers = {row.name for row in observed.peers if row.ended and row.held_revoked}
    grant_changes = tuple(_plan_grants(grants, gone, held_peers, observed.now))
    changes: tuple[AnyChange, ...] = (*peer_changes, *grant_changes)
    all_notes = (
        *notes(Kind.PEER, peers, peer_changes),
        *notes(Kind.GRANT, grants, grant_changes),
        *ended_notes(grants, grant_changes, held_peers, observed.now),
    )
    adopted_peers = tuple(_bookkeeping(peers, peer_changes))
    adopted_grants = tuple(_bookkeeping(grants, grant_changes))
    managed_before = peers.managed_live() + grants.managed_live()
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: change.sort_key())),
        notes=tuple(sorted(all_notes)),
        summary=_summary(changes, managed_before, (*adopted_peers, *adopted_grants)),
        managed_before=managed_before,
        source_empty=desired.empty,
        adopted_peers=adopted_peers,
        adopted_grants=adopted_grants,
        released_peers=tuple(peers.released()),
        released_grants=tuple(grants.released()),
    )


def _plan_peers(side: Side[ObservedPeer, PeerSpec]) -> Iterator[PeerChange]:
    for name, declared in side.declared.items():
        row = side.live.get(name)
        if row is None:
            if name not in side.held:
                yield _create(Kind.PEER, declared)
        elif fields := _differing(row.spec, declared.spec):
            if row.spec.direction is not declared.spec.direction:
                yield _replace(Kind.PEER, row, declared, "its direction changes", fields)
            else:
                yield _update(Kind.PEER, row, declared, fields)
    for name, row in side.live.items():
        if name not in side.declared and row.managed:
            yield _revoke(Kind.PEER, row, "no longer in git")


def _plan_grants(
    side: Side[ObservedGrant, GrantSpec],
    gone: dict[str, PeerChange],
    held_peers: set[str],
    now: datetime,
) -> Iterator[GrantChange]:
    for name, declared in side.declared.items():
        row = side.live.get(name)
        may_begin = declared.spec.expires_at > now and declared.spec.peer not in held_peers
        if row is not None:
            yield from _plan_live_grant(row, declared, gone, now, may_begin=may_begin)
        elif may_begin and name not in side.held:
            yield _create(Kind.GRANT, declared)
    for name, row in side.live.items():
        if name not in side.declared and row.managed:
            yield _revoke(Kind.GRANT, row, "no longer in git")
        elif name not in side.declared and row.spec.peer in gone:
            yield _revoke(Kind.GRANT, row, f"its peer {row.spec.peer!r} is removed")


def _plan_live_grant(
    row: ObservedGrant,
    declared: Declared[GrantSpec],
    gone: dict[str, PeerChange],
    now: datetime,
    *,
    may_begin: bool,
) -> Iterator[GrantChange]:
    fields = _differing(row.spec, declared.spec)
    reason = _replacement_reason(row, declared, gone)
    if reason and may_begin:
        yield _replace(Kind.GRANT, row, declared, reason, fields)
    elif reason:
        yield _revoke(Kind.GRANT, row, f"{reason}, and it cannot be created again")
    elif fields and declared.spec.expires_at <= now:
        yield _revoke(Kind.GRANT, row, "its expiresAt is set to a time that has passed")
    elif fields:
        yield _update(Kind.GRANT, row, declared, fields)


def _replacement_reason(
    row: ObservedGrant, declared: Declared[GrantSpec], gone: dict[str, PeerChange]
) -> str:
    if row.spec.peer != declared.spec.peer:
        return "its peer changes"
    if row.spec.subject_user_id != declared.spec.subject_user_id:
        return "its subject user changes"
    if row.spec.peer in gone:
        return f"its peer {row.spec.peer!r} is replaced"
    if row.peer_ended:
        return f"its peer {row.spec.peer!r} was ended by hand"
    return ""


def _differing(columns: Spec, declared: Spec) -> tuple[FieldChange, ...]:
    """Return what the columns say otherwise; the stored digest is no proof of what they say."""
    return diff(columns, declared) if columns != declared else ()


def _update(
    kind: Kind, row: RowT, declared: Declared[SpecT], fields: tuple[FieldChange, ...]
) -> Change[RowT, SpecT]:
    by_hand = changed_by_hand(row)
    reason = by_hand or "changed in git"
    if by_hand and row.digest not in (declared.digest, spec_digest(row.spec)):
        reason = f"changed in git, and {by_hand}"
    certificates = _narrowed(row, declared.spec, fields)
    return Change(Action.UPDATE, kind, row.name, reason, row, declared, fields, certificates)


def _narrowed(
    row: ObservedPeer | ObservedGrant, declared: Spec, fields: tuple[FieldChange, ...]
) -> tuple[LiveCertificate, ...]:
    """Return the certificates that an update narrows: by an earlier end, those that outlast it.

    A shorter lifetime is that of the next certificate.
    """
    narrower = {field.path for field in fields if field.effect in (Effect.NARROWS, Effect.MIXED)}
    if narrower - {"expiresAt", "certificate.lifetime"}:
        return row.certificates
    if "expiresAt" not in narrower or not isinstance(declared, GrantSpec):
        return ()
    return tuple(each for each in row.certificates if each.not_after > declared.expires_at)


def _create(kind: Kind, declared: Declared[SpecT]) -> Change[Any, SpecT]:
    fields = declared_fields(declared.spec)
    return Change(Action.CREATE, kind, declared.name, "new in git", None, declared, fields)


def _replace(
    kind: Kind,
    row: RowT,
    declared: Declared[SpecT],
    reason: str,
    fields: tuple[FieldChange, ...],
) -> Change[RowT, SpecT]:
    return Change(Action.REPLACE, kind, row.name, reason, row, declared, fields, row.certificates)


def _revoke(kind: Kind, row: RowT, reason: str) -> Change[RowT, Any]:
    return Change(Action.REVOKE, kind, row.name, reason, row, None, (), row.certificates)


def _bookkeeping(
    side: Side[RowT, SpecT], changes: tuple[Change[RowT, SpecT], ...]
) -> Iterator[Bookkeeping[RowT, SpecT]]:
    changing = {change.name for change in changes}
    for name, declared in side.declared.items():
        row = side.live.get(name) or side.held.get(name)
        if row is None or name in changing:
            continue
        book = Bookkeeping(row, declared)
        if not row.managed or row.place != declared.place or book.corrects_digest:
            yield book


def _summary(
    changes: tuple[AnyChange, ...],
    managed_before: int,
    bookkeeping: tuple[Bookkeeping[Any, Any], ...],
) -> Summary:
    counts = {action: sum(change.action is action for change in changes) for action in Action}
    touched = sum(change.row is not None and change.row.managed for change in changes)
    newly_managed = sum(not each.row.managed and not each.row.ended for each in bookkeeping)
    return Summary(
        create=counts[Action.CREATE],
        update=counts[Action.UPDATE],
        replace=counts[Action.REPLACE],
        revoke=counts[Action.REVOKE],
        unchanged=managed_before - touched + newly_managed,
    )
