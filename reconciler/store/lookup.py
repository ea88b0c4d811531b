"""One peer or one grant by its name: the live row, or else the ended one whose name is held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from reconciler.core.model.spec import GrantSpec, Kind, PeerSpec
from reconciler.core.model.states import HoldKind
from reconciler.store.apply.observe import grant_spec, hold_from, peer_spec

if TYPE_CHECKING:
    from reconciler.core.model.observed import Hold
    from reconciler.store.db import Tx

_PEER: Final = """
SELECT to_jsonb(r) AS document FROM (
    SELECT id, name, direction, display_name, endpoint_url, labels, protect, status, hold, managed,
        status = 'revoked' AS ended
    FROM federation_peers WHERE name = :name AND (status <> 'revoked' OR hold IS NOT NULL)
    ORDER BY ended LIMIT 1) AS r
"""
_GRANTS: Final = """
SELECT to_jsonb(r) AS document FROM (
    SELECT g.id, g.name, p.name AS peer, g.subject_user_id, g.scope, g.status_now AS status,
        g.suspended, g.protect, g.hold, extract(epoch FROM g.lifetime) AS lifetime_s, g.expires_at,
        g.managed, g.status_now IN ('revoked', 'expired') AS ended
    FROM federation_grants_now AS g JOIN federation_peers AS p ON p.id = g.peer_id
    WHERE {which} AND (g.status_now NOT IN ('revoked', 'expired') OR g.hold ->> 'kind' = 'revoke')
    ORDER BY ended, g.id) AS r
"""

_LIVE: Final = {
    Kind.PEER: "federation_peers WHERE (status <> 'revoked' OR hold IS NOT NULL)",
    Kind.GRANT: "federation_grants_now"
    " WHERE (status_now NOT IN ('revoked', 'expired') OR hold IS NOT NULL)",
}
_NAMES: Final = {
    kind: f'SELECT DISTINCT name COLLATE "C" AS name FROM {live}'
    " AND starts_with(name, :begun) ORDER BY 1 LIMIT :most"
    for kind, live in _LIVE.items()
}
MOST_NAMES: Final = 500  # more than a shell can show


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A row of a peer or a grant, as its columns are; `ended` only if an operator holds it."""

    id: UUID
    name: str
    spec: PeerSpec | GrantSpec
    status: str
    ended: bool
    managed: bool
    hold: Hold | None

    @property
    def held_revoked(self) -> bool:
        """Whether an operator has revoked it, so that git cannot create it again."""
        return self.ended and self.hold is not None and self.hold.kind is HoldKind.REVOKE


def find_row(tx: Tx, kind: Kind, name: str) -> NamedRow | None:
    """Return the row of a name, or None if the name is free."""
    statement = _PEER if kind is Kind.PEER else _GRANTS.format(which="g.name = :name")
    row = tx.row(statement, name=name)
    return _named(row["document"]) if row is not None else None


def live_peer(tx: Tx, name: str) -> PeerSpec | None:
    """Return the spec of the live row of a peer, or None."""
    row = find_row(tx, Kind.PEER, name)
    if row is None or row.ended:
        return None
    assert isinstance(row.spec, PeerSpec)
    return row.spec


def live_grants_of(tx: Tx, peer: UUID) -> list[NamedRow]:
    """Return the live grants of a peer."""
    rows = tx.rows(_GRANTS.format(which="g.peer_id = :peer"), peer=peer)
    return [row for each in rows if not (row := _named(each["document"])).ended]


def names_beginning(tx: Tx, kind: Kind, begun: str) -> list[str]:
    """Return the names of rows that are live or held, and begin so, in order."""
    rows = tx.rows(_NAMES[kind], begun=begun, most=MOST_NAMES)
    return [row["name"] for row in rows]


def _named(document: dict[str, Any]) -> NamedRow:
    return NamedRow(
        id=UUID(document["id"]),
        name=document["name"],
        spec=grant_spec(document) if "peer" in document else peer_spec(document),
        status=document["status"],
        ended=document["ended"],
        managed=document["managed"],
        hold=hold_from(document["hold"]),
    )
