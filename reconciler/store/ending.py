"""How peers and grants end, and how an operator holds them: the one way for all callers.

The end of a grant, in the caller's transaction, moves its open and claimed tokens to `void` and its
issuances, `intent` included, to `revoking`, the queue for the CA. Rows are locked in the order
peer, grant, token, issuance, each by id, and the audit head last, as two transactions that lock in
different orders wait for each other: the caller appends the events after all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from reconciler.core.audit.event_base import grant_ref
from reconciler.core.audit.row_events import GrantExpired, GrantRevoked, PeerRevoked
from reconciler.core.model.spec import Kind
from reconciler.core.model.states import GrantStatus, live_grant_status
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.core.audit.event_base import Json, RowRef
    from reconciler.core.model.observed import Hold
    from reconciler.store.db import Tx

TABLES: Final = {Kind.PEER: "federation_peers", Kind.GRANT: "federation_grants"}


def lock_grants(tx: Tx, ids: Sequence[UUID]) -> None:
    """Lock grants in the order of their ids."""
    _lock(tx, Kind.GRANT, ids)


def lock_peers(tx: Tx, ids: Sequence[UUID]) -> None:
    """Lock peers in the order of their ids."""
    _lock(tx, Kind.PEER, ids)


def _lock(tx: Tx, kind: Kind, ids: Sequence[UUID]) -> None:
    # In the order of ids, or two that lock the same rows wait for each other; NO KEY, because a row
    # that is inserted meanwhile may refer to these.
    tx.rows(
        f"SELECT id FROM {TABLES[kind]} WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE",
        ids=list(ids),
    )


def revoke_peer(
    tx: Tx, peer: RowRef, reason: str, *, grants_reason: str, hold: Hold | None = None
) -> list[GrantRevoked | PeerRevoked]:
    """Revoke the live grants of a peer, then the peer; return the events to append."""
    lock_peers(tx, [_id(peer)])
    if hold is not None:
        _drop_older_holds(tx, Kind.PEER, [_id(peer)])  # peers before grants
    grants = tx.rows(
        "SELECT id FROM federation_grants WHERE peer_id = :id"
        " AND status NOT IN ('revoked', 'expired') ORDER BY id",
        id=peer.id,
    )
    events = revoke_grants(tx, [grant["id"] for grant in grants], grants_reason)
    return [*events, *revoke_peers(tx, [peer], reason, hold=hold)]


def revoke_peers(
    tx: Tx,
    peers: Sequence[RowRef],
    reason: str,
    *,
    hold: Hold | None = None,
    origin: Json | None = None,
) -> list[PeerRevoked]:
    """Revoke peers whose grants have ended; a trigger erases their sealed keys. Return the events.

    A peer that has been revoked by hand stays as it is, and has its event.
    """
    tx.run(
        "UPDATE federation_peers SET status = 'revoked', revoked_at = clock_timestamp(),"
        " revoked_reason = :reason, hold = coalesce(CAST(:hold AS jsonb), hold)"
        " WHERE id = ANY(:ids) AND status <> 'revoked'",
        ids=[_id(peer) for peer in peers],
        reason=reason,
        hold=_as_text(hold),
    )
    given = hold.reason if hold is not None else reason
    return [PeerRevoked(peer, given, origin, held=hold is not None) for peer in peers]


def revoke_grants(
    tx: Tx,
    ids: Sequence[UUID],
    reason: str,
    *,
    hold: Hold | None = None,
    origin: Json | None = None,
) -> list[GrantRevoked]:
    """Revoke the grants that have not ended, and what depends on them; return the events."""
    lock_grants(tx, ids)
    if hold is not None:
        _drop_older_holds(tx, Kind.GRANT, ids)
    ended = tx.rows(
        "UPDATE federation_grants SET status = 'revoked', revoked_at = clock_timestamp(),"
        " revoked_reason = :reason, hold = CAST(:hold AS jsonb)"
        " WHERE id = ANY(:ids) AND status NOT IN ('revoked', 'expired') RETURNING id, name",
        ids=list(ids),
        reason=reason,
        hold=_as_text(hold),
    )
    serials = _end_dependents(tx, ended)
    return [
        GrantRevoked(grant, reason, serials[grant.id], hold, origin) for grant in _by_name(ended)
    ]


def expire_due(tx: Tx) -> list[GrantExpired]:
    """Move the grants whose end has passed to `expired`; return the events to append."""
    due = tx.rows(
        "SELECT id FROM federation_grants WHERE status NOT IN ('revoked', 'expired')"
        " AND expires_at <= statement_timestamp() ORDER BY id FOR NO KEY UPDATE"
    )
    # Judged again under the lock: what was waited for may have moved the end.
    ended = tx.rows(
        "UPDATE federation_grants SET status = 'expired'"
        " WHERE id = ANY(:ids) AND status NOT IN ('revoked', 'expired')"
        " AND expires_at <= clock_timestamp() RETURNING id, name",
        ids=[row["id"] for row in due],
    )
    serials = _end_dependents(tx, ended)
    reason = "its expiresAt has passed"
    return [GrantExpired(grant, reason, serials[grant.id]) for grant in _by_name(ended)]


def finish_end(
    tx: Tx, grant: RowRef, status: GrantStatus, reason: str
) -> GrantRevoked | GrantExpired:
    """End what depends on a grant whose status was moved to an end by hand; return the event."""
    serials = _end_dependents(tx, [{"id": _id(grant)}])[grant.id]
    if status is GrantStatus.EXPIRED:
        return GrantExpired(grant, reason, serials)
    return GrantRevoked(grant, reason, serials)


def _end_dependents(tx: Tx, grants: Sequence[Mapping[str, Any]]) -> Mapping[str, tuple[str, ...]]:
    """Void the tokens and revoke the issuances of grants; return the serials by grant id."""
    ids = [row["id"] for row in grants]
    if not ids:
        return {}
    void_tokens(tx, ids)
    serials = revoke_issuances(tx, ids)
    return {str(grant_id): tuple(serials.get(grant_id, ())) for grant_id in ids}


def void_tokens(tx: Tx, grant_ids: Sequence[object]) -> int:
    """Void the open and claimed tokens of grants; return how many."""
    # An UPDATE locks in the order in which it finds the rows, so they are locked first, by id.
    tx.rows(
        "SELECT id FROM federation_enrollment_tokens WHERE grant_id = ANY(:ids)"
        " AND status IN ('open', 'claimed') ORDER BY id FOR NO KEY UPDATE",
        ids=list(grant_ids),
    )
    return tx.run(
        "UPDATE federation_enrollment_tokens SET status = 'void'"
        " WHERE grant_id = ANY(:ids) AND status IN ('open', 'claimed')",
        ids=list(grant_ids),
    )


def revoke_issuances(
    tx: Tx, grant_ids: Sequence[object], *, but: object = None
) -> dict[object, list[str]]:
    """Move the issuances of grants (all `but` one) to `revoking`; return their serials by grant.

    An `intent` too: its request may be at the CA, and `finish` fences on the status. A trigger
    makes what is `revoking` due at once, so the status is all that a reconciler has to write.
    """
    locked = tx.rows(
        "SELECT id FROM federation_certificates WHERE grant_id = ANY(:ids)"
        " AND status IN ('intent', 'issued') AND id IS DISTINCT FROM CAST(:but AS uuid)"
        " ORDER BY id FOR NO KEY UPDATE",
        ids=list(grant_ids),
        but=but,
    )
    return _queue_for_ca(tx, locked)


def revoke_oldest(tx: Tx, grant_id: UUID, keep: int) -> dict[object, list[str]]:
    """Move the issued certificates of a grant but the newest to `revoking`, as above."""
    locked = tx.rows(
        "SELECT id FROM federation_certificates WHERE id IN (SELECT id"
        "   FROM federation_certificates WHERE grant_id = :id AND status = 'issued'"
        "   ORDER BY created_at DESC, id DESC OFFSET :keep)"
        " ORDER BY id FOR NO KEY UPDATE",
        id=grant_id,
        keep=keep,
    )
    return _queue_for_ca(tx, locked)


def _queue_for_ca(tx: Tx, locked: Sequence[Mapping[str, Any]]) -> dict[object, list[str]]:
    """Move issuances that are locked to `revoking`; return their serials by grant."""
    moved = tx.rows(
        "UPDATE federation_certificates SET status = 'revoking'"
        " WHERE id = ANY(:ids) AND status IN ('intent', 'issued') RETURNING grant_id, serial",
        ids=[row["id"] for row in locked],
    )
    serials: dict[object, list[str]] = {}
    for row in sorted(moved, key=lambda row: row["serial"]):
        serials.setdefault(row["grant_id"], []).append(row["serial"])
    return serials


def hold_grant(tx: Tx, grant_id: UUID, hold: Hold | None) -> None:
    """Set or lift the hold of a grant, and move its status with it."""
    lock_grants(tx, [grant_id])
    row = tx.one("SELECT status, suspended FROM federation_grants WHERE id = :id", id=grant_id)
    suspended = row["suspended"] or hold is not None
    tx.run(
        "UPDATE federation_grants SET hold = CAST(:hold AS jsonb),"
        " status = CAST(:status AS federation_grant_status) WHERE id = :id",
        id=grant_id,
        hold=_as_text(hold),
        status=str(live_grant_status(GrantStatus(row["status"]), suspended=suspended)),
    )


def suspend_if_free(tx: Tx, grant_id: UUID, hold: Hold) -> bool:
    """Hold a grant that neither has ended nor is held, without a right to holds; tell whether."""
    row = tx.one(
        "SELECT federation_suspend_grant(:id, CAST(:hold AS jsonb)) AS held",
        id=grant_id,
        hold=_as_text(hold),
    )
    return bool(row["held"])


def release_holds(tx: Tx, kind: Kind, ids: Sequence[UUID]) -> None:
    """Drop the holds of ended rows."""
    if ids:
        tx.run(f"UPDATE {TABLES[kind]} SET hold = NULL WHERE id = ANY(:ids)", ids=list(ids))


def _drop_older_holds(tx: Tx, kind: Kind, ids: Sequence[UUID]) -> None:
    """Drop the holds of ended rows that have the names of these: a name is held once."""
    tx.run(
        f"UPDATE {TABLES[kind]} SET hold = NULL WHERE status = 'revoked'"
        f" AND name IN (SELECT name FROM {TABLES[kind]} WHERE id = ANY(:ids))",
        ids=list(ids),
    )


def _by_name(rows: Sequence[Mapping[str, Any]]) -> list[RowRef]:
    """Return the references to grants, by name."""
    names = sorted((str(row["name"]), row["id"]) for row in rows)
    return [grant_ref(grant_id, name) for name, grant_id in names]


def _id(ref: RowRef) -> UUID:
    return UUID(ref.id)


def _as_text(hold: Hold | None) -> str | None:
    return as_json(hold.as_json()) if hold is not None else None
