"""Peers as lists and shows tell them (DESIGN 13): never a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.store.views.grants import source_of, time_text, unknown

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.store.db import Tx

_SELECT: Final = """
SELECT p.id, p.name, p.direction, p.display_name, p.endpoint_url, p.status, p.hold, p.managed,
    p.revision, p.source_path, p.source_line, p.cert_serial, p.cert_fingerprint, p.cert_not_before,
    p.cert_not_after, p.remote_grant, p.created_at,
    (SELECT coalesce(json_agg(g.name ORDER BY g.name COLLATE "C"), '[]')
        FROM federation_grants_now AS g
        WHERE g.peer_id = p.id AND g.status_now NOT IN ('revoked', 'expired')) AS grants
FROM federation_peers AS p
"""


def list_peers(tx: Tx, statuses: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the peers, of these statuses where any are named, by name and age."""
    rows = tx.rows(
        _SELECT + " WHERE cardinality(CAST(:statuses AS text[])) = 0"
        ' OR p.status::text = ANY(:statuses) ORDER BY p.name COLLATE "C", p.created_at, p.id',
        statuses=list(statuses),
    )
    return [_document(row) for row in rows]


def show_peer(tx: Tx, name: str) -> dict[str, Any]:
    """Return the live peer of a name, or the one that was revoked last.

    Raises:
        Refused: `name_unknown`.
    """
    row = tx.row(
        _SELECT + " WHERE p.name = :name"
        " ORDER BY p.status = 'revoked', p.created_at DESC, p.id DESC LIMIT 1",
        name=name,
    )
    if row is None:
        raise unknown(tx, "peer", name)
    return _document(row)


def _document(row: dict[str, Any]) -> dict[str, Any]:
    document = {
        "name": row["name"],
        "id": str(row["id"]),
        "direction": row["direction"],
        "displayName": row["display_name"],
        "endpoint": row["endpoint_url"],
        "status": row["status"],
        "hold": row["hold"],
        "managed": row["managed"],
        "revision": row["revision"],
        "source": source_of(row),
        "grants": row["grants"],
    }
    if row["direction"] == "outbound":
        document["certificate"] = _certificate(row)
        document["grant"] = _remote_grant(row["remote_grant"])
    return document


def _certificate(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["cert_serial"] is None:
        return None
    return {
        "serial": row["cert_serial"],
        "fingerprint": row["cert_fingerprint"],
        "status": "issued" if row["status"] == "active" else "revoked",
        "notBefore": time_text(row["cert_not_before"]),
        "notAfter": time_text(row["cert_not_after"]),
    }


def _remote_grant(told: dict[str, Any] | None) -> dict[str, Any] | None:
    if told is None:
        return None
    kept = ("id", "name", "subjectUserId", "scope", "status", "expiresAt")
    return {name: told.get(name) for name in kept}
