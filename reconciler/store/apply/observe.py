"""What the rows are, as the plan's values: one statement, so one snapshot, with its clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from reconciler.core.model.ids import GrantId, PeerId
from reconciler.core.model.observed import (
    ByHand,
    Hold,
    LiveCertificate,
    Observed,
    ObservedGrant,
    ObservedPeer,
)
from reconciler.core.model.scope import Scope, scope_from_json
from reconciler.core.model.spec import (
    Desired,
    Direction,
    GrantSpec,
    Kind,
    PeerSpec,
    SourceLocation,
)
from reconciler.core.model.states import GrantStatus, PeerStatus
from reconciler.store.db import as_json
from reconciler.store.row_digests import COMPUTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.model.spec import Declared
    from reconciler.store.db import Tx

NOTHING: Final = Desired()  # declares nothing, so every row is read
_NO_NAMES: Final[frozenset[str]] = frozenset()
_NO_TIME: Final = "0001-01-01T00:00:00Z"
_NOTHING_THROUGH: Final = Scope((), 0)

# Live rows, and ended ones whose name an operator holds. What has ended without a hold is history.
# Of a live row that is what its manifest declares, and where that stands, only the name is read.
# This is known by its row_digest, which PostgreSQL computes from the columns as they are: what
# stands in spec_digest is no proof of what they say. A column that is generated no more is none.
_OBSERVE: Final = """
WITH generated AS MATERIALIZED (
    SELECT count(*) = 2 AS both FROM pg_attribute
    WHERE attrelid IN ('federation_peers'::regclass, 'federation_grants'::regclass)
        AND attname = 'row_digest' AND attgenerated = 's'
), peer_rows AS MATERIALIZED (
    SELECT id, name, (TABLE generated) AND status <> 'revoked' AND coalesce(
        encode({peer_digest}, 'hex') || ' ' || source_line || ' ' || source_path
            IN (SELECT jsonb_array_elements_text(CAST(:peers AS jsonb))), false) AS equal
    FROM federation_peers WHERE status <> 'revoked' OR hold IS NOT NULL
), grant_rows AS MATERIALIZED (
    SELECT g.id, g.name, p.name AS peer, (TABLE generated)
        AND g.status_now NOT IN ('revoked', 'expired') AND p.status <> 'revoked' AND coalesce(
        encode(g.digest, 'hex') || ' ' || p.name || ' ' || g.source_line || ' ' || g.source_path
            IN (SELECT jsonb_array_elements_text(CAST(:grants AS jsonb))), false) AS equal
    FROM (SELECT *, {grant_digest} AS digest FROM federation_grants_now) AS g
    JOIN federation_peers AS p ON p.id = g.peer_id
    WHERE g.status_now NOT IN ('revoked', 'expired') OR g.hold ->> 'kind' = 'revoke'
), live AS (
    SELECT certificates.grant_id, jsonb_agg(jsonb_build_object(
        'serial', certificates.serial, 'not_after', certificates.not_after)
        ORDER BY certificates.not_after, certificates.serial) AS certificates
    FROM federation_certificates AS certificates
    WHERE certificates.status = 'issued' AND certificates.not_after > statement_timestamp()
    GROUP BY certificates.grant_id
), hands AS (
    SELECT DISTINCT ON (row_id) row_id, jsonb_build_object('role', by_role,
        'application', application, 'address', host(address), 'at', at,
        'digest', new ->> 'spec_digest') AS by_hand
    FROM federation_hand_changes WHERE of_table <> 'federation_certificates'
    ORDER BY row_id, id DESC
), peers AS (
    SELECT p.id, p.name, direction, display_name, endpoint_url, labels, protect, status, hold,
        managed, spec_digest, source_path, source_line, revision, by_hand,
        CASE WHEN cert_not_after > statement_timestamp() THEN cert_serial END AS cert_serial,
        cert_not_after
    FROM peer_rows JOIN federation_peers AS p USING (id) LEFT JOIN hands ON row_id = p.id
    WHERE NOT equal
), grants AS (
    SELECT g.id, g.name, g.peer_id, p.name AS peer, p.status = 'revoked' AS peer_ended,
        g.subject_user_id, g.scope,
        g.status_now AS status, g.suspended, g.protect, g.hold,
        extract(epoch FROM g.lifetime) AS lifetime_s, g.expires_at, g.managed, g.spec_digest,
        g.source_path, g.source_line, g.revision, live.certificates, by_hand
    FROM grant_rows JOIN federation_grants_now AS g USING (id)
    JOIN federation_peers AS p ON p.id = g.peer_id
    LEFT JOIN live ON live.grant_id = g.id
    LEFT JOIN hands ON row_id = g.id
    WHERE NOT equal
)
SELECT '' AS kind, jsonb_build_object('now', statement_timestamp(),
    'peers', coalesce((SELECT string_agg(name, ',') FROM peer_rows WHERE equal), ''),
    'grants', coalesce((SELECT string_agg(name, ',') FROM grant_rows WHERE equal), ''),
    'peers_of_grants', coalesce((SELECT string_agg(peer, ',')
        FROM (SELECT DISTINCT peer FROM grant_rows WHERE equal) AS of_equal), '')) AS document
UNION ALL SELECT 'Peer', to_jsonb(peers) FROM peers
UNION ALL SELECT 'Grant', to_jsonb(grants) FROM grants
"""
_STATEMENT: Final = _OBSERVE.format(peer_digest="row_digest", grant_digest="row_digest")
_VERIFYING: Final = _OBSERVE.format(
    peer_digest=COMPUTED["federation_peers"], grant_digest=COMPUTED["federation_grants"]
)


def observe(tx: Tx, desired: Desired = NOTHING) -> Observed:
    """Return the snapshot that a plan needs, without the rows that are what `desired` declares.

    All rows are read if one that is left out matters to another: the peer of an equal grant, a
    second row of a name.
    """
    equal_peers, equal_grants, peers_of_grants = _NO_NAMES, _NO_NAMES, _NO_NAMES
    peers: list[ObservedPeer] = []
    grants: list[ObservedGrant] = []
    keys = {"peers": _keys(desired.peers), "grants": _keys(desired.grants)}
    for row in tx.stream(_VERIFYING if desired.verifies else _STATEMENT, **keys):
        kind, document = row["kind"], row["document"]
        if not kind:
            now = datetime.fromisoformat(document["now"])
            equal_peers, equal_grants = _names(document["peers"]), _names(document["grants"])
            peers_of_grants = _names(document["peers_of_grants"])
        elif kind == Kind.PEER:
            peers.append(_peer(document))
        else:
            grants.append(_grant(document))
    independent = (
        equal_peers >= peers_of_grants
        and equal_peers.isdisjoint(each.name for each in peers)
        and equal_grants.isdisjoint(each.name for each in grants)
    )
    if not independent:
        return observe(tx)
    return Observed(
        now=now,
        peers=tuple(sorted(peers, key=attrgetter("name"))),
        grants=tuple(sorted(grants, key=attrgetter("name"))),
        equal_peers=equal_peers,
        equal_grants=equal_grants,
    )


def _keys(manifests: Iterable[Declared[Any]]) -> str:
    """Return, as JSON, the key and the place of the row that each manifest declares."""
    return as_json([f"{each.row_key} {each.place.line} {each.place.path}" for each in manifests])


def _names(joined: str) -> frozenset[str]:
    return frozenset(joined.split(",")) if joined else _NO_NAMES


def hold_from(document: dict[str, Any] | None) -> Hold | None:
    """Return the hold of a row's JSON, in force whatever a change by hand has made of its words."""
    if document is None:
        return None
    words = document | {name: str(document[name] or "") for name in ("by", "reason")}
    try:
        return Hold.from_json(words)
    except (TypeError, ValueError):  # its time
        return Hold.from_json(words | {"at": _NO_TIME})


def peer_spec(row: dict[str, Any]) -> PeerSpec:
    """Return what the columns of a peer's row declare."""
    return PeerSpec(
        direction=Direction(row["direction"]),
        display_name=row["display_name"],
        endpoint=row["endpoint_url"],
        labels=tuple(sorted((name, _word(value)) for name, value in row["labels"].items())),
        protect=row["protect"],
    )


def _word(value: object) -> str:
    """Return the value of a label; of one that a change by hand has made a list, its JSON."""
    return value if isinstance(value, str) else as_json(value)


def grant_spec(row: dict[str, Any]) -> GrantSpec:
    """Return what the columns of a grant's row declare, with `peer`, a name, and `lifetime_s`."""
    return GrantSpec(
        peer=row["peer"],
        subject_user_id=row["subject_user_id"],
        expires_at=datetime.fromisoformat(row["expires_at"]),
        scope=_scope(row["scope"]),
        lifetime=timedelta(seconds=float(row["lifetime_s"])),
        suspended=row["suspended"],
        protect=row["protect"],
    )


def _scope(document: dict[str, Any]) -> Scope:
    """Return a scope; one that a change by hand has made unreadable lets nothing through."""
    try:
        return scope_from_json(document)
    except (AttributeError, KeyError, TypeError, ValueError):
        return _NOTHING_THROUGH


def source_location(row: dict[str, Any]) -> SourceLocation | None:
    """Return where a row's manifest stands, or None where no source has declared it yet."""
    if row["source_path"] is None:
        return None
    return SourceLocation(row["source_path"], row["source_line"])


def by_hand_from(document: dict[str, Any] | None) -> ByHand | None:
    """Return a change by hand of its JSON."""
    if document is None:
        return None
    return ByHand(**(document | {"at": datetime.fromisoformat(document["at"])}))


def _peer(row: dict[str, Any]) -> ObservedPeer:
    certificates: tuple[LiveCertificate, ...] = ()
    if row["cert_serial"] is not None:
        not_after = datetime.fromisoformat(row["cert_not_after"])
        certificates = (LiveCertificate(row["cert_serial"], row["name"], not_after),)
    return ObservedPeer(
        id=PeerId(UUID(row["id"])),
        spec=peer_spec(row),
        status=PeerStatus(row["status"]),
        certificates=certificates,
        **_common(row),
    )


def _grant(row: dict[str, Any]) -> ObservedGrant:
    return ObservedGrant(
        id=GrantId(UUID(row["id"])),
        peer_id=PeerId(UUID(row["peer_id"])),
        peer_ended=row["peer_ended"],
        spec=grant_spec(row),
        status=GrantStatus(row["status"]),
        certificates=tuple(
            LiveCertificate(each["serial"], row["peer"], datetime.fromisoformat(each["not_after"]))
            for each in row["certificates"] or ()
        ),
        **_common(row),
    )


def _common(row: dict[str, Any]) -> dict[str, Any]:
    """Return the values that rows of peers and of grants have alike."""
    return {
        "name": row["name"],
        "digest": row["spec_digest"],
        "managed": row["managed"],
        "place": source_location(row),
        "revision": row["revision"],
        "hold": hold_from(row["hold"]),
        "by_hand": by_hand_from(row["by_hand"]),
    }
