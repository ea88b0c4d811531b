"""Holds and revocations that came after a backup, made again in the rows that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from reconciler.core.audit.certificate_events import CertificateRequeued
from reconciler.core.audit.event_base import grant_ref, peer_ref
from reconciler.core.audit.row_events import GrantSuspended
from reconciler.core.model.observed import Hold
from reconciler.core.model.states import HoldKind
from reconciler.store import ending
from reconciler.store.audit import log as audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.audit.events import Event
    from reconciler.core.backup.export import LaterRecords, TakenAway
    from reconciler.store.db import Tx


def remake(tx: Tx, actor: str, later: LaterRecords) -> tuple[str, ...]:
    """Take away again what was taken away since; return what the rows lack, by its name."""
    peers = _live(tx, "federation_peers", "'revoked'", later.peers)
    grants = _live(tx, "federation_grants", "'revoked', 'expired'", later.grants)
    events: list[Event] = []
    ending.lock_peers(tx, [UUID(key) for key in peers])
    # before their peers, whose end would leave them without their holds
    for key, taken in later.grants.items():
        if key in grants:
            hold = _hold(tx, actor, taken)
            events += ending.revoke_grants(tx, [UUID(key)], taken.reason, hold=hold)
    for key, taken in later.peers.items():
        if (name := peers.get(key)) is not None:
            hold, row = _hold(tx, actor, taken), peer_ref(key, name)
            because = f"its peer {name!r} was revoked"
            events += ending.revoke_peer(tx, row, taken.reason, grants_reason=because, hold=hold)
    suspended = _live(tx, "federation_grants", "'revoked', 'expired'", later.suspended)
    for key, taken in later.suspended.items():
        if (name := suspended.get(key)) is not None:
            hold = Hold(HoldKind.SUSPEND, actor, tx.now(), taken.reason)
            ending.hold_grant(tx, UUID(key), hold)
            events.append(GrantSuspended(grant_ref(key, name), taken.reason))
    events += _revoke_serials(tx, later.serials)
    audit.append(tx, actor, events)
    return _missing(tx, later)


def _hold(tx: Tx, actor: str, taken: TakenAway) -> Hold | None:
    return Hold(HoldKind.REVOKE, actor, tx.now(), taken.reason) if taken.held else None


def _live(tx: Tx, table: str, ends: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of the rows that have not ended, by id."""
    rows = tx.rows(
        f"SELECT id::text AS id, name FROM {table} WHERE id::text = ANY(:ids)"
        f" AND status NOT IN ({ends})",
        ids=list(ids),
    )
    return {row["id"]: row["name"] for row in rows}


def _revoke_serials(tx: Tx, serials: Iterable[str]) -> list[CertificateRequeued]:
    moved: list[dict[str, Any]] = tx.rows(
        "UPDATE federation_certificates AS c SET status = 'revoking' FROM federation_grants AS g"
        " WHERE g.id = c.grant_id AND c.serial = ANY(:serials) AND c.status = 'issued'"
        " RETURNING c.serial, c.grant_id, g.name",
        serials=sorted(serials),
    )
    moved.sort(key=lambda row: str(row["serial"]))
    reason = "it was revoked after the backup that was restored"
    return [
        CertificateRequeued(grant_ref(row["grant_id"], row["name"]), row["serial"], reason)
        for row in moved
    ]


def _missing(tx: Tx, later: LaterRecords) -> tuple[str, ...]:
    """Return the subjects of what an operator took away, and the backup does not have."""
    held = [*later.suspended.values()]
    held += [each for each in (*later.grants.values(), *later.peers.values()) if each.held]
    rows = tx.rows(
        "SELECT id::text AS id FROM federation_grants WHERE id::text = ANY(:ids)"
        " UNION SELECT id::text FROM federation_peers WHERE id::text = ANY(:ids)",
        ids=[each.row.id for each in held],
    )
    there = {row["id"] for row in rows}
    return tuple(sorted({each.row.subject for each in held if each.row.id not in there}))
