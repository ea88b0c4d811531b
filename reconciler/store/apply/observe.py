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
from reconciler.core.model.scope import scope_from_json
from reconciler.core.model.spec import Direction, GrantSpec, Kind, PeerSpec, SourceLocation
from reconciler.core.model.states import GrantStatus, PeerStatus

if TYPE_CHECKING:
    from reconciler.store.apply.row_cache import EqualRow, RowCache
    from reconciler.store.db import Tx

# Live rows, and ended ones whose name an operator holds. What has ended without a hold is history.
# Each has the digest of all its columns that a plan reads. Those that :known has are counted as
# equal by that alone, and nothing else of them is read: the digest is of the row as it is now, for
# what stands in its spec_digest is no proof of what its columns say.
_OBSERVE: Final = """
WITH peer_rows AS MATERIALIZED (
    SELECT id, fingerprint, fingerprint = ANY (string_to_array(:known, ',')) AS known
    FROM (SELECT id, encode(sha256(convert_to(ROW(id, name, direction, display_name, endpoint_url,
            labels, protect, status, hold, managed, spec_digest, source_path, source_line)::text,
            'UTF8')), 'hex') AS fingerprint
        FROM federation_peers WHERE status <> 'revoked' OR hold IS NOT NULL) AS digested
), grant_rows AS MATERIALIZED (
    SELECT id, fingerprint, fingerprint = ANY (string_to_array(:known, ',')) AS known
    FROM (SELECT id, encode(sha256(convert_to(ROW(id, name, peer_id, subject_user_id, scope,
            status_now IN ('revoked', 'expired'), suspended, protect, hold, lifetime, expires_at,
            managed, spec_digest, source_path, source_line)::text, 'UTF8')), 'hex') AS fingerprint
        FROM federation_grants_now
        WHERE status_now NOT IN ('revoked', 'expired') OR hold ->> 'kind' = 'revoke') AS digested
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
    SELECT p.id, name, direction, display_name, endpoint_url, labels, protect, status, hold,
        managed, spec_digest, source_path, source_line, revision, by_hand, fingerprint,
        CASE WHEN cert_not_after > statement_timestamp() THEN cert_serial END AS cert_serial,
        cert_not_after
    FROM peer_rows JOIN federation_peers AS p USING (id) LEFT JOIN hands ON row_id = p.id
    WHERE NOT known
), grants AS (
    SELECT g.id, g.name, g.peer_id, p.name AS peer, g.subject_user_id, g.scope,
        g.status_now AS status, g.suspended, g.protect, g.hold,
        extract(epoch FROM g.lifetime) AS lifetime_s, g.expires_at, g.managed, g.spec_digest,
        g.source_path, g.source_line, g.revision, live.certificates, by_hand, fingerprint
    FROM grant_rows JOIN federation_grants_now AS g USING (id)
    JOIN federation_peers AS p ON p.id = g.peer_id
    LEFT JOIN live ON live.grant_id = g.id
    LEFT JOIN hands ON row_id = g.id
    WHERE NOT known
)
SELECT '' AS kind, jsonb_build_object('now', statement_timestamp(), 'known', coalesce(
    (SELECT string_agg(fingerprint, ',')
       FROM (TABLE peer_rows UNION ALL TABLE grant_rows) AS rows WHERE known), '')) AS document
UNION ALL SELECT 'Peer', to_jsonb(peers) FROM peers
UNION ALL SELECT 'Grant', to_jsonb(grants) FROM grants
"""


def observe(tx: Tx, rows: RowCache | None = None) -> Observed:
    """Return the snapshot that a plan needs, without the rows that `rows` finds equal.

    They are known by fingerprint, or found so when they are read. All are kept where those that are
    equal could matter to the others: the peer of a grant, another row of the same name.
    """
    known = rows.known() if rows is not None else {}
    equal: list[EqualRow] = []
    peers: list[ObservedPeer] = []
    grants: list[ObservedGrant] = []
    for row in tx.stream(_OBSERVE, known=",".join(known)):
        kind, document = row["kind"], row["document"]
        if not kind:
            now = datetime.fromisoformat(document["now"])
            equal += [known[each] for each in document["known"].split(",") if each]
            continue
        found = rows.equal(Kind(kind), document) if rows is not None else None
        if found is not None:
            equal.append(found)
        elif kind == Kind.PEER:
            peers.append(_peer(document))
        else:
            grants.append(_grant(document))
    observed = Observed(
        now=now,
        peers=tuple(sorted(peers, key=attrgetter("name"))),
        grants=tuple(sorted(grants, key=attrgetter("name"))),
        equal_peers=frozenset(each.name for each in equal if each.kind is Kind.PEER),
        equal_grants=frozenset(each.name for each in equal if each.kind is Kind.GRANT),
    )
    alone = (
        observed.equal_peers.issuperset(each.peer for each in equal if each.peer)
        and observed.equal_peers.isdisjoint(each.name for each in peers)
        and observed.equal_grants.isdisjoint(each.name for each in grants)
    )
    return observed if alone else observe(tx)


def hold_from(document: dict[str, str] | None) -> Hold | None:
    """Return the hold of a row's JSON."""
    return Hold.from_json(document) if document is not None else None


def peer_spec(row: dict[str, Any]) -> PeerSpec:
    """Return what the columns of a peer's row declare."""
    return PeerSpec(
        direction=Direction(row["direction"]),
        display_name=row["display_name"],
        endpoint=row["endpoint_url"],
        labels=tuple(sorted(row["labels"].items())),
        protect=row["protect"],
    )


def grant_spec(row: dict[str, Any]) -> GrantSpec:
    """Return what the columns of a grant's row declare, with `peer`, a name, and `lifetime_s`."""
    return GrantSpec(
        peer=row["peer"],
        subject_user_id=row["subject_user_id"],
        expires_at=datetime.fromisoformat(row["expires_at"]),
        scope=scope_from_json(row["scope"]),
        lifetime=timedelta(seconds=float(row["lifetime_s"])),
        suspended=row["suspended"],
        protect=row["protect"],
    )


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
        "fingerprint": row["fingerprint"],
    }
