"""Grants as lists and shows print them: in every state, each as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from reconciler.core.model.certificate_use import Use
from reconciler.core.model.documents import CertificateView, GrantView
from reconciler.core.model.states import GrantStatus
from reconciler.errors import Refused
from reconciler.store.apply.observe import hold_from, source_location
from reconciler.store.views.lists import parameters, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from reconciler.store.db import Tx

_FROM: Final = "FROM federation_grants_now AS g JOIN federation_peers AS p ON p.id = g.peer_id"
_SELECT: Final = f"""
SELECT g.id, g.name, p.name AS peer, g.subject_user_id, g.scope, g.status_now AS status,
    g.suspended, g.hold, g.protect, g.managed, g.expires_at, g.activated_at, g.revoked_at,
    g.revoked_reason, g.revision, g.source_path, g.source_line, g.created_at,
    (SELECT coalesce(json_agg(json_build_object(
            'serial', c.serial, 'fingerprint', c.fingerprint, 'status', c.status,
            'not_before', extract(epoch FROM c.not_before), 'not_after',
            extract(epoch FROM c.not_after), 'count', u.count, 'first',
            extract(epoch FROM u.first_at), 'last', extract(epoch FROM u.last_at))
            ORDER BY c.created_at, c.id), '[]')
        FROM (SELECT id, serial, fingerprint, status, not_before, not_after, created_at
            FROM federation_certificates WHERE grant_id = g.id AND cert_pem IS NOT NULL
            ORDER BY created_at DESC, id DESC LIMIT CAST(:certificates AS integer)) AS c
        LEFT JOIN federation_certificate_use AS u ON u.certificate_id = c.id) AS certificates
{_FROM}
"""
_ORDER: Final = ' ORDER BY g.name COLLATE "C", g.created_at, g.id'
_MATCHING: Final = """
WHERE (:text = '' OR strpos(lower(concat_ws(' ', g.name, p.name, g.subject_user_id)),
        lower(:text)) > 0)
    AND (cardinality(CAST(:statuses AS text[])) = 0 OR g.status_now::text = ANY(:statuses))
    AND (cardinality(CAST(:peers AS text[])) = 0 OR p.name = ANY(:peers))
    AND (cardinality(CAST(:subjects AS text[])) = 0 OR g.subject_user_id = ANY(:subjects))
    AND (CAST(:ends_within AS interval) IS NULL OR g.status_now NOT IN ('revoked', 'expired')
        AND g.expires_at <= statement_timestamp() + :ends_within)
"""


@dataclass(frozen=True, slots=True)
class GrantFilter:
    """Which grants are meant: those that have, of all that is given, one of its values each.

    `text` is a part of the name, the peer's name or the subject user.
    """

    text: str = ""
    statuses: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    ends_within: timedelta | None = None


def count_grants(tx: Tx, only: GrantFilter) -> int:
    """Return how many grants a filter lets through."""
    statement = f"SELECT count(*) AS count {_FROM} {_MATCHING}"
    count: int = tx.one(statement, **parameters(only))["count"]
    return count


def list_grants(
    tx: Tx, only: GrantFilter, page: slice, certificates: int | None = None
) -> list[GrantView]:
    """Return a page of the grants that a filter lets through, by name and age.

    Each has all its `certificates`, or as many of the newest.
    """
    # the ids first, as OFFSET would gather the certificates of what it skips
    ids = f"SELECT g.id {_FROM} {_MATCHING} {_ORDER} OFFSET :start LIMIT :count"
    rows = tx.rows(
        f"{_SELECT} WHERE g.id IN ({ids}) {_ORDER}",
        certificates=certificates,
        **parameters(only, page),
    )
    return [_view(row) for row in rows]


def stream_grants(tx: Tx, only: GrantFilter) -> Iterator[GrantView]:
    """Yield the grants that a filter lets through, by name and age, with all their certificates."""
    statement = f"{_SELECT} {_MATCHING} {_ORDER}"
    return map(_view, tx.stream(statement, certificates=None, **parameters(only)))


def show_grant(
    tx: Tx, name: str, row_id: UUID | None = None, certificates: int | None = None
) -> GrantView:
    """Return the live grant of a name, or the one that ended last, or the one with an id.

    It has all its `certificates`, or as many of the newest.

    Raises:
        Refused: `name_unknown`.
    """
    row = tx.row(
        _SELECT + " WHERE g.name = :name AND (CAST(:id AS uuid) IS NULL OR g.id = :id)"
        " ORDER BY g.status IN ('revoked', 'expired'), g.created_at DESC, g.id DESC LIMIT 1",
        name=name,
        id=row_id,
        certificates=certificates,
    )
    if row is None:
        raise unknown(tx, "grant", name, row_id)
    return _view(row)


def live_grant_id(tx: Tx, name: str) -> UUID:
    """Return the id of the grant of a name that has not ended; else raise `Refused`."""
    grant = show_grant(tx, name)
    if grant.status.ended:
        message = f"grant {name!r} is {grant.status}"
        raise Refused("state_conflict", message, hint=how_to_create_again(tx, grant))
    return UUID(grant.id)


def how_to_create_again(tx: Tx, grant: GrantView) -> str:
    """Return the hint for a grant that has ended: what keeps an apply from creating its name."""
    if grant.hold is not None:
        lift = f"`mosaic federation grant resume {grant.name}`"
        return f"to create it again, first lift the hold: {lift}"
    held_peer = tx.row(
        "SELECT 1 FROM federation_peers AS p WHERE p.name = :name AND p.hold IS NOT NULL"
        " AND p.status = 'revoked' AND NOT EXISTS (SELECT 1 FROM federation_peers AS live"
        " WHERE live.name = p.name AND live.status <> 'revoked')",
        name=grant.peer,
    )
    if held_peer is not None:
        peer = f"the peer {grant.peer!r}, which an operator revoked"
        return f"to create it again, first remove the manifest of {peer}, apply, and declare both"
    declare = "declare it" if grant.status is GrantStatus.REVOKED else "declare a later expiresAt"
    return f"to create it again, {declare}, and apply: `mosaic federation apply`"


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
