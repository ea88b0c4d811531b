"""Grants as lists and shows print them: in every state, each as it is now."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
    from datetime import timedelta

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
        FROM (SELECT id, serial, fingerprint, status, not_before, not_after, created_at
            FROM federation_certificates WHERE grant_id = g.id AND cert_pem IS NOT NULL
            ORDER BY created_at DESC, id DESC LIMIT CAST(:certificates AS integer)) AS c
        LEFT JOIN federation_certificate_use AS u ON u.certificate_id = c.id) AS certificates
FROM federation_grants_now AS g JOIN federation_peers AS p ON p.id = g.peer_id
"""
_ORDER: Final = ' ORDER BY g.name COLLATE "C", g.created_at, g.id'
_MATCHING: Final = """
FROM federation_grants_now AS g JOIN federation_peers AS p ON p.id = g.peer_id
WHERE strpos(lower(concat_ws(' ', g.name, p.name, g.subject_user_id)), lower(:text)) > 0
    AND (:status = '' OR g.status_now::text = :status)
    AND (:peer = '' OR p.name = :peer)
    AND (CAST(:ends AS integer) IS NULL OR g.status_now NOT IN ('revoked', 'expired')
        AND g.expires_at <= statement_timestamp() + make_interval(days => :ends))
"""


@dataclass(frozen=True, slots=True)
class GrantFilter:
    """Which grants are meant: empty texts and None mean all.

    `text` is a part of the name, the peer's name or the subject user; `ends` is in days.
    """

    text: str = ""
    status: str = ""
    peer: str = ""
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class GrantSelection:
    """Which grants: those that have, of all that is given, one of its values each."""

    statuses: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    ends_within: timedelta | None = None


def list_grants(tx: Tx, which: GrantSelection) -> list[GrantView]:
    """Return the grants of a selection, by name and age."""
    rows = tx.rows(
        _SELECT + " WHERE (cardinality(CAST(:statuses AS text[])) = 0"
        " OR g.status_now::text = ANY(CAST(:statuses AS text[])))"
        " AND (cardinality(CAST(:peers AS text[])) = 0 OR p.name = ANY(CAST(:peers AS text[])))"
        " AND (cardinality(CAST(:subjects AS text[])) = 0"
        " OR g.subject_user_id = ANY(CAST(:subjects AS text[])))"
        " AND (CAST(:within AS interval) IS NULL"
        " OR (g.expires_at <= now() + CAST(:within AS interval)"
        " AND g.status_now NOT IN ('revoked', 'expired')))" + _ORDER,
        statuses=list(which.statuses),
        peers=list(which.peers),
        subjects=list(which.subjects),
        within=which.ends_within,
        certificates=None,
    )
    return [_view(row) for row in rows]


def count_grants(tx: Tx, only: GrantFilter) -> int:
    """Return how many grants a filter lets through."""
    row = tx.one(f"SELECT count(*) AS count {_MATCHING}", **asdict(only))
    count: int = row["count"]
    return count


def search_grants(
    tx: Tx, only: GrantFilter, page: slice, certificates: int | None = None
) -> list[GrantView]:
    """Return a page of the grants that a filter lets through, each with its newest certificates."""
    ids = tx.rows(  # first, as OFFSET would gather the certificates of what it skips
        f"SELECT g.id {_MATCHING} {_ORDER} OFFSET :start LIMIT :count",
        start=page.start,
        count=page.stop - page.start,
        **asdict(only),
    )
    rows = tx.rows(
        f"{_SELECT} WHERE g.id = ANY(:ids) {_ORDER}",
        ids=[each["id"] for each in ids],
        certificates=certificates,
    )
    return [_view(row) for row in rows]


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
