"""How grants end, in one transaction with their tokens and issuances: the one way for all callers.

Ending moves open and claimed tokens to `void` and issuances, `intent` included, to `revoking`, the
queue for the CA. Rows are locked in the order peer, grant, token, issuance (DESIGN 5).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.chain import Event
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from reconciler.core.model.observed import Hold
    from reconciler.store.db import Tx

NOTHING_MORE: Final[Mapping[str, object]] = MappingProxyType({})


def lock_grants(tx: Tx, ids: Sequence[UUID]) -> None:
    """Lock grants in the order of their ids."""
    tx.rows(
        "SELECT id FROM federation_grants WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE",
        ids=list(ids),
    )


def lock_peers(tx: Tx, ids: Sequence[UUID]) -> None:
    """Lock peers in the order of their ids."""
    tx.rows(
        "SELECT id FROM federation_peers WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE",
        ids=list(ids),
    )


def revoke_grants(
    tx: Tx,
    ids: Sequence[UUID],
    actor: str,
    reason: str,
    *,
    hold: Hold | None = None,
    told: Mapping[str, object] = NOTHING_MORE,
) -> list[Event]:
    """Revoke grants that have not ended, and what hangs on them; return the events to append.

    `told` is what the events say beside the reason.
    """
    lock_grants(tx, ids)
    ended = tx.rows(
        "UPDATE federation_grants SET status = 'revoked', revoked_at = clock_timestamp(),"
        " revoked_reason = :reason, hold = CAST(:hold AS jsonb)"
        " WHERE id = ANY(:ids) AND status NOT IN ('revoked', 'expired') RETURNING id, name",
        ids=list(ids),
        reason=reason,
        hold=as_json(hold.as_json()) if hold else None,
    )
    said = {"reason": reason, **({"hold": hold.as_json()} if hold else {}), **told}
    return _end_what_hangs(tx, ended, actor, "grant.revoked", said)


def expire_due(tx: Tx, actor: str) -> list[Event]:
    """Move the grants whose end has passed to `expired`; return the events to append."""
    due = tx.rows(
        "SELECT id FROM federation_grants WHERE status NOT IN ('revoked', 'expired')"
        " AND expires_at <= clock_timestamp() ORDER BY id FOR NO KEY UPDATE"
    )
    ended = tx.rows(
        "UPDATE federation_grants SET status = 'expired'"
        " WHERE id = ANY(:ids) AND status NOT IN ('revoked', 'expired')"
        " AND expires_at <= clock_timestamp() RETURNING id, name",
        ids=[row["id"] for row in due],
    )
    told = {"reason": "its expiresAt has passed"}
    return _end_what_hangs(tx, ended, actor, "grant.expired", told)


def _end_what_hangs(
    tx: Tx, ended: list[dict[str, object]], actor: str, kind: str, told: Mapping[str, object]
) -> list[Event]:
    if not ended:
        return []
    ids = [row["id"] for row in ended]
    void_tokens(tx, ids)
    serials = revoke_issuances(tx, ids)
    return [
        Event(
            kind,
            actor,
            f"grant/{row['name']}",
            {"id": str(row["id"]), "serials": serials.get(row["id"], []), **told},
        )
        for row in sorted(ended, key=lambda row: str(row["name"]))
    ]


def void_tokens(tx: Tx, grant_ids: Sequence[object]) -> int:
    """Void the open and claimed tokens of grants; return how many."""
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
    """Move the issuances of grants (all `but` one) to `revoking`; return their serials by grant."""
    values = {"ids": list(grant_ids), "but": but}
    tx.rows(
        "SELECT id FROM federation_certificates WHERE grant_id = ANY(:ids)"
        " AND status IN ('intent', 'issued') AND id IS DISTINCT FROM CAST(:but AS uuid)"
        " ORDER BY id FOR NO KEY UPDATE",
        **values,
    )
    moved = tx.rows(
        "UPDATE federation_certificates SET status = 'revoking', lease_until = NULL,"
        " next_attempt_at = clock_timestamp(), attempts = 0"
        " WHERE grant_id = ANY(:ids) AND status IN ('intent', 'issued')"
        " AND id IS DISTINCT FROM CAST(:but AS uuid) RETURNING grant_id, serial",
        **values,
    )
    serials: dict[object, list[str]] = {}
    for row in sorted(moved, key=lambda row: row["serial"]):
        serials.setdefault(row["grant_id"], []).append(row["serial"])
    return serials
