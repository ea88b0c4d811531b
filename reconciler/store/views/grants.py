"""Grants as lists and shows tell them (DESIGN 13): every state, and the truth about each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.spelling import nearest
from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from reconciler.store.db import Tx

_SELECT: Final = """
SELECT g.id, g.name, p.name AS peer, g.subject_user_id, g.scope, g.status_now AS status,
    g.suspended, g.hold, g.protect, g.managed, g.expires_at, g.activated_at, g.revoked_at,
    g.revoked_reason, g.revision, g.source_path, g.source_line, g.created_at,
    (SELECT coalesce(json_agg(json_build_object(
            'serial', c.serial, 'fingerprint', c.fingerprint, 'status', c.status,
            'not_before', extract(epoch FROM c.not_before), 'not_after',
            extract(epoch FROM c.not_after)) ORDER BY c.created_at, c.id), '[]')
        FROM federation_certificates AS c
        WHERE c.grant_id = g.id AND c.cert_pem IS NOT NULL) AS certificates
FROM federation_grants_now AS g JOIN federation_peers AS p ON p.id = g.peer_id
"""


def list_grants(tx: Tx, statuses: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the grants, of these statuses where any are named, by name and age."""
    rows = tx.rows(
        _SELECT + " WHERE cardinality(CAST(:statuses AS text[])) = 0"
        ' OR g.status_now::text = ANY(:statuses) ORDER BY g.name COLLATE "C", g.created_at, g.id',
        statuses=list(statuses),
    )
    return [_document(row) for row in rows]


def show_grant(tx: Tx, name: str) -> dict[str, Any]:
    """Return the live grant of a name, or the one that ended last.

    Raises:
        Refused: `name_unknown`.
    """
    row = tx.row(
        _SELECT + " WHERE g.name = :name"
        " ORDER BY g.status IN ('revoked', 'expired'), g.created_at DESC, g.id DESC LIMIT 1",
        name=name,
    )
    if row is None:
        raise unknown(tx, "grant", name)
    return _document(row)


def live_grant_id(tx: Tx, name: str) -> UUID:
    """Return the id of the grant of a name that has not ended; else raise `Refused`."""
    shown = show_grant(tx, name)
    if shown["status"] in ("revoked", "expired"):
        raise Refused(
            "state_conflict",
            f"grant {name!r} is {shown['status']}: it has ended",
            hint="declare it anew and apply",
        )
    row = tx.row(
        "SELECT id FROM federation_grants WHERE name = :name"
        " AND status NOT IN ('revoked', 'expired')",
        name=name,
    )
    assert row is not None
    found: UUID = row["id"]
    return found


def unknown(tx: Tx, kind: str, name: str) -> Refused:
    """Return the refusal of a name that no row of the kind has ever had."""
    rows = tx.rows(f"SELECT DISTINCT name FROM federation_{kind}s")
    close = nearest(name, [row["name"] for row in rows], cutoff=0.5)
    hint = f"did you mean {close!r}?" if close else f"`mosaic federation {kind} list` shows all"
    return Refused("name_unknown", f"there is no {kind} {name!r}", hint=hint)


def time_text(at: datetime | None) -> str | None:
    """Return a time of a row as RFC 3339, or None."""
    return rfc3339(at) if at is not None else None


def source_of(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return where a row's manifest stands, or None where no source has declared it yet."""
    if row["source_path"] is None:
        return None
    return {"path": row["source_path"], "line": row["source_line"]}


def _document(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "id": str(row["id"]),
        "peer": row["peer"],
        "subjectUserId": row["subject_user_id"],
        "scope": row["scope"],
        "status": row["status"],
        "suspended": row["suspended"],
        "hold": row["hold"],
        "protect": row["protect"],
        "managed": row["managed"],
        "expiresAt": time_text(row["expires_at"]),
        "activatedAt": time_text(row["activated_at"]),
        "revokedAt": time_text(row["revoked_at"]),
        "revokedReason": row["revoked_reason"],
        "revision": row["revision"],
        "source": source_of(row),
        "certificates": [_certificate(each) for each in row["certificates"]],
    }


def _certificate(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "serial": row["serial"],
        "fingerprint": row["fingerprint"],
        "status": row["status"],
        "notBefore": rfc3339(datetime.fromtimestamp(row["not_before"], UTC)),
        "notAfter": rfc3339(datetime.fromtimestamp(row["not_after"], UTC)),
    }
