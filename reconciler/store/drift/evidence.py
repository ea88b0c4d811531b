"""What `drift` is judged by beside the audit log: rows, the changes by hand, the CA's lists."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.certificate_events import (
    CertificateIssued,
    CertificateRevokedAtCa,
    IssuanceBegun,
    IssuanceGivenUp,
    TokenMinted,
)
from reconciler.core.audit.chain import Record
from reconciler.core.audit.events import AuditArchived, RequestsRefused
from reconciler.core.drift.model import HandChange, StoredCertificate, StoredRow
from reconciler.core.model.observed import ByHand
from reconciler.core.model.spec import MAX_LIFETIME, Kind
from reconciler.crypto.certificates import read_crl, split_pem, subject_key_id
from reconciler.errors import Retry
from reconciler.store.apply.observe import grant_spec, hold_from, peer_spec, source_location
from reconciler.store.audit.log import PAGE, RECORD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from reconciler.core.model.spec import Identity
    from reconciler.crypto.certificates import CrlFacts
    from reconciler.store.db import Tx


_PEERS: Final = """
SELECT id, name, direction, display_name, labels, endpoint_url, status, protect, hold, managed,
    spec_digest, source_path, source_line, revision, created_at, activated_at, revoked_at,
    revoked_reason, cert_serial, cert_fingerprint, cert_not_before, cert_not_after
FROM federation_peers
"""
_ROWS: Final = f"""
SELECT to_jsonb(p) AS columns, NULL AS peer, NULL AS lifetime_s FROM ({_PEERS}) AS p
WHERE CAST(:ids AS uuid[]) IS NULL OR id = ANY(:ids)
UNION ALL
SELECT to_jsonb(g), p.name, extract(epoch FROM g.lifetime)::float8
FROM federation_grants AS g JOIN federation_peers AS p ON p.id = g.peer_id
WHERE CAST(:ids AS uuid[]) IS NULL OR g.id = ANY(:ids)
"""
# Tables of which a role reads some columns show it no xmin. A grant's spec names its peer.
_MARKS: Final = f"""
SELECT CAST(p.id AS text) AS id, CAST(hashtextextended(CAST(p AS text), 0) AS text) AS mark
FROM ({_PEERS}) AS p
UNION ALL
SELECT CAST(g.id AS text), concat_ws(' ', CAST(g.xmin AS text), CAST(g.ctid AS text), p.name)
FROM federation_grants AS g JOIN federation_peers AS p ON p.id = g.peer_id
"""
# Renewals are most of a log: what they were begun with says nothing of a state, and a certificate
# that has ended is not judged.
_RECORDS: Final = f"""
SELECT {RECORD} FROM federation_audit_log
WHERE seq > :after AND kind <> ALL(:of_no_state)
    AND (kind <> ALL(:of_certificates) OR at > clock_timestamp() - CAST(:life AS interval))
ORDER BY seq LIMIT :page
"""
_OF_NO_STATE: Final = [
    *IssuanceBegun.kinds,
    *IssuanceGivenUp.kinds,
    *TokenMinted.kinds,
    *RequestsRefused.kinds,
    *AuditArchived.kinds,
]
_OF_CERTIFICATES: Final = [*CertificateIssued.kinds, *CertificateRevokedAtCa.kinds]
_NAMES: Final = """
SELECT 'Peer' AS kind, name FROM federation_peers UNION SELECT 'Grant', name FROM federation_grants
"""


def records(tx: Tx, after: int) -> Iterator[Record]:
    """Yield the records after a number that drift is judged by, oldest first."""
    while rows := tx.tuples(
        _RECORDS,
        after=after,
        of_no_state=_OF_NO_STATE,
        of_certificates=_OF_CERTIFICATES,
        life=MAX_LIFETIME + timedelta(days=1),
        page=PAGE,
    ):
        yield from map(Record._make, rows)
        after = rows[-1][0]


def row_marks(tx: Tx) -> dict[str, str]:
    """Return a text for the id of each row, which differs once the row does."""
    return {each["id"]: each["mark"] for each in tx.rows(_MARKS)}


def stored_rows(tx: Tx, ids: Collection[str] | None = None) -> list[StoredRow]:
    """Return the rows of the ids, all rows without them."""
    if ids is not None and not ids:
        return []
    return [_row(each) for each in tx.rows(_ROWS, ids=None if ids is None else sorted(ids))]


def identities(tx: Tx) -> frozenset[Identity]:
    """Return the kinds and names that there are."""
    return frozenset((Kind(each["kind"]), each["name"]) for each in tx.rows(_NAMES))


def _row(row: dict[str, Any]) -> StoredRow:
    columns = row["columns"]
    kind = Kind.PEER if row["peer"] is None else Kind.GRANT
    return StoredRow(
        kind=kind,
        id=columns["id"],
        name=columns["name"],
        spec=peer_spec(columns) if kind is Kind.PEER else grant_spec(columns | row),
        digest=columns["spec_digest"],
        status=columns["status"],
        managed=columns["managed"],
        hold=hold_from(columns["hold"]),
        place=source_location(columns),
        columns=columns,
    )


def newest_hand_change(tx: Tx) -> int:
    """Return the number of the newest change by hand; 0 if there is none."""
    statement = "SELECT coalesce(max(id), 0) AS newest FROM federation_hand_changes"
    newest: int = tx.one(statement)["newest"]
    return newest


def hand_changes(tx: Tx) -> tuple[HandChange, ...]:
    """Return the changes by hand, newest first."""
    rows = tx.rows(
        "SELECT row_id::text AS row_id, old, new, by_role, application, host(address) AS address,"
        " at FROM federation_hand_changes ORDER BY id DESC"
    )
    return tuple(
        HandChange(
            each["row_id"],
            each["old"],
            each["new"],
            ByHand(each["by_role"], each["application"], each["address"], each["at"]),
        )
        for each in rows
    )


def stored_certificates(tx: Tx) -> list[StoredCertificate]:
    """Return the certificates that have not ended, and whether the CA's list has the revoked."""
    lists: dict[str | None, CrlFacts | None] = {}
    rows = tx.rows(
        "SELECT c.id::text AS id, c.serial, g.name AS grant, c.status::text AS status,"
        " CASE WHEN c.revoked_at IS NOT NULL THEN c.chain_pem END AS chain_pem, c.revoked_at"
        " FROM federation_certificates AS c"
        " JOIN federation_grants AS g ON g.id = c.grant_id"
        " WHERE c.cert_pem IS NOT NULL AND c.not_after > statement_timestamp()"
    )
    certificates: list[StoredCertificate] = []
    for row in rows:
        chain = row["chain_pem"]
        if chain not in lists:
            lists[chain] = _list_of(tx, chain) if chain is not None else None
        crl = lists[chain]
        listed = (
            crl is None
            or row["revoked_at"] is None
            or crl.this_update <= row["revoked_at"]
            or row["serial"] in crl.serials
        )
        certificates.append(
            StoredCertificate(row["id"], row["serial"], row["grant"], row["status"], listed)
        )
    return certificates


def _list_of(tx: Tx, chain: str) -> CrlFacts | None:
    """Return the stored list of the issuer of a chain; None where no list of it verifies."""
    try:
        issuer = split_pem(chain)[0]
        key = subject_key_id(issuer)
    except ValueError:
        return None
    row: dict[str, Any] | None = tx.row(
        "SELECT der FROM federation_crls WHERE issuer_key_id = :key", key=key
    )
    try:
        return read_crl(bytes(row["der"]), issuer) if row is not None else None
    except (ValueError, Retry):
        return None
