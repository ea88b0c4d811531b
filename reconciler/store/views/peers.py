"""Peers as lists and shows print them: in every state, and never a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.documents import CertificateView, PeerView, RemoteView
from reconciler.core.model.spec import Direction
from reconciler.core.model.states import PeerStatus
from reconciler.store.apply.observe import hold_from, source_location
from reconciler.store.views.lists import ALL, parameters, unknown

if TYPE_CHECKING:
    from uuid import UUID

    from reconciler.store.db import Tx

_FROM: Final = "FROM federation_peers AS p"
_SELECT: Final = f"""
SELECT p.id, p.name, p.direction, p.display_name, p.labels, p.endpoint_url,
    p.status, p.hold, p.managed,
    p.revision, p.source_path, p.source_line, p.cert_serial, p.cert_fingerprint, p.cert_not_before,
    p.cert_not_after, p.remote_grant, p.withdrawn, p.created_at,
    (SELECT coalesce(json_agg(g.name ORDER BY g.name COLLATE "C"), '[]')
        FROM federation_grants_now AS g
        WHERE g.peer_id = p.id AND g.status_now NOT IN ('revoked', 'expired')) AS grants
{_FROM}
"""
_ORDER: Final = ' ORDER BY p.name COLLATE "C", p.created_at, p.id'
_MATCHING: Final = """
WHERE (:text = '' OR strpos(lower(concat_ws(' ', p.name, p.display_name, p.endpoint_url)),
        lower(:text)) > 0)
    AND (cardinality(CAST(:statuses AS text[])) = 0 OR p.status::text = ANY(:statuses))
    AND (:direction = '' OR p.direction::text = :direction)
"""


@dataclass(frozen=True, slots=True)
class PeerFilter:
    """Which peers are meant: empty texts and no statuses mean all.

    `text` is a part of the name, the display name or the endpoint.
    """

    text: str = ""
    statuses: tuple[str, ...] = ()
    direction: str = ""


def count_peers(tx: Tx, only: PeerFilter) -> int:
    """Return how many peers a filter lets through."""
    statement = f"SELECT count(*) AS count {_FROM} {_MATCHING}"
    count: int = tx.one(statement, **parameters(only))["count"]
    return count


def list_peers(tx: Tx, only: PeerFilter, page: slice = ALL) -> list[PeerView]:
    """Return the peers that a filter lets through, or a page of them, by name and age."""
    which = _MATCHING
    if page != ALL:  # the ids first, as OFFSET would gather the grants of what it skips
        ids = f"SELECT p.id {_FROM} {_MATCHING} {_ORDER} OFFSET :start LIMIT :count"
        which = f"WHERE p.id IN ({ids})"
    rows = tx.rows(f"{_SELECT} {which} {_ORDER}", **parameters(only, page))
    return [_view(row) for row in rows]


def show_peer(tx: Tx, name: str, row_id: UUID | None = None) -> PeerView:
    """Return the live peer of a name, or the one that was revoked last, or the one with an id.

    Raises:
        Refused: `name_unknown`.
    """
    row = tx.row(
        _SELECT + " WHERE p.name = :name AND (CAST(:id AS uuid) IS NULL OR p.id = :id)"
        " ORDER BY p.status = 'revoked', p.created_at DESC, p.id DESC LIMIT 1",
        name=name,
        id=row_id,
    )
    if row is None:
        raise unknown(tx, "peer", name, row_id)
    return _view(row)


def _view(row: dict[str, Any]) -> PeerView:
    return PeerView(
        name=row["name"],
        id=str(row["id"]),
        direction=row["direction"],
        display_name=row["display_name"],
        labels=row["labels"],
        endpoint=row["endpoint_url"],
        status=PeerStatus(row["status"]),
        hold=hold_from(row["hold"]),
        managed=row["managed"],
        revision=row["revision"],
        source=source_location(row),
        grants=tuple(row["grants"]),
        remote=RemoteView(_certificate(row), row["remote_grant"], row["withdrawn"])
        if row["direction"] == Direction.OUTBOUND
        else None,
    )


def _certificate(row: dict[str, Any]) -> CertificateView | None:
    if row["cert_serial"] is None:
        return None
    return CertificateView(
        serial=row["cert_serial"],
        fingerprint=row["cert_fingerprint"],
        status="issued" if row["status"] == PeerStatus.ACTIVE else "revoked",
        not_before=row["cert_not_before"],
        not_after=row["cert_not_after"],
    )
