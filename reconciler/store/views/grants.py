"""Grants as lists and shows print them: in every state, each as it is now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from reconciler.core.model.certificate_use import Use
from reconciler.core.model.documents import CertificateView, GrantView
from reconciler.core.model.spelling import nearest
from reconciler.core.model.states import GrantStatus
from reconciler.errors import Refused
from reconciler.store.apply.observe import hold_from, source_location

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.store.db import Tx

_SELECT: Final = """
SELECT g.id, g.name, p.name AS peer, g.subject_user_id, g.scope, g.status_now AS status,
    g.suspended, g.hold, g.protect, g.managed, g.expires_at, g.activated_at, g.revoked_at,
    g.revoked_reason, g.revision, g.source_path, g.source_line, g.created_at,
    (SELECT coalesce(json_agg(json_build_object(
            'serial', c.serial, 'fingerprint', c.fingerprint, 'status', c.status,
            'not_before', extract(epoch FROM c.not_before), 'not_after',
            extract(epoch FROM c.not_after), 'count', u.count, 'first',
            extract(epoch FROM u.first_at), 'last', extract(epoch FROM u.last_at))
            ORDER BY c.created_at, c.id), '[]')
        FROM federation_certificates AS c
        LEFT JOIN federation_certificate_use AS u ON u.certificate_id = c.id
        WHERE c.grant_id = g.id AND c.cert_pem IS NOT NULL) AS certificates
FROM federation_grants_now AS g JOIN federation_peers AS p ON p.id = g.peer_id
"""


def list_grants(tx: Tx, statuses: Collection[str] = ()) -> list[GrantView]:
    """Return the grants, of these statuses where any are named, by name and age."""
    rows = tx.rows(
        _SELECT + " WHERE cardinality(CAST(:statuses AS text[])) = 0"
        ' OR g.status_now::text = ANY(:statuses) ORDER BY g.name COLLATE "C", g.created_at, g.id',
        statuses=list(statuses),
    )
    return [_view(row) for row in rows]


def show_grant(tx: Tx, name: str) -> GrantView:
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
    return _view(row)


def live_grant_id(tx: Tx, name: str) -> UUID:
    """Return the id of the grant of a name that has not ended; else raise `Refused`."""
    grant = show_grant(tx, name)
    if grant.status.ended:
        raise Refused(
            "state_conflict",
            f"grant {name!r} is {grant.status}: it has ended",
            hint="declare it again and apply",
        )
    return UUID(grant.id)


def unknown(tx: Tx, kind: str, name: str) -> Refused:
    """Return the refusal of a name that no row of the kind has ever had."""
    rows = tx.rows(f"SELECT DISTINCT name FROM federation_{kind}s")
    close = nearest(name, [row["name"] for row in rows], cutoff=0.5)
    hint = f"did you mean {close!r}?" if close else f"`mosaic federation {kind} list` shows all"
    return Refused("name_unknown", f"there is no {kind} {name!r}", hint=hint)


def _view(row: dict[str, Any]) -> GrantView:
    return GrantView(
        name=row["name"],
        id=str(row["id"]),
        peer=row["peer"],
        subject_user_id=row["subject_user_id"],
        scope=row["scope"],
        status=GrantStatus(row["status"]),
        suspended=row["suspended"],
        hold=hold_from(row["hold"]),
        protect=row["protect"],
        managed=row["managed"],
        expires_at=row["expires_at"],
        activated_at=row["activated_at"],
        revoked_at=row["revoked_at"],
        revoked_reason=row["revoked_reason"],
        revision=row["revision"],
        source=source_location(row),
        certificates=tuple(_certificate(each) for each in row["certificates"]),
    )


def _certificate(row: dict[str, Any]) -> CertificateView:
    return CertificateView(
        serial=row["serial"],
        fingerprint=row["fingerprint"],
        status=row["status"],
        not_before=_time(row["not_before"]),
        not_after=_time(row["not_after"]),
        use=None
        if row["count"] is None
        else Use(row["count"], _time(row["first"]), _time(row["last"])),
    )


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
