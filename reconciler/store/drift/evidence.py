"""What `drift` is judged by beside the audit log: the changes by hand, the lists of the CA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.drift.evidence import HandChange, StoredCertificate
from reconciler.core.model.observed import ByHand
from reconciler.crypto.certificates import read_crl, split_pem, subject_key_id
from reconciler.errors import Retry

if TYPE_CHECKING:
    from reconciler.crypto.certificates import CrlFacts
    from reconciler.store.db import Tx


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
    lists: dict[str, CrlFacts | None] = {}
    rows = tx.rows(
        "SELECT c.id::text AS id, c.serial, g.name AS grant, c.status::text AS status, c.chain_pem,"
        " c.revoked_at FROM federation_certificates AS c"
        " JOIN federation_grants AS g ON g.id = c.grant_id"
        " WHERE c.cert_pem IS NOT NULL AND c.not_after > clock_timestamp()"
    )
    certificates: list[StoredCertificate] = []
    for row in rows:
        if row["chain_pem"] not in lists:
            lists[row["chain_pem"]] = _list_of(tx, row["chain_pem"])
        crl = lists[row["chain_pem"]]
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
