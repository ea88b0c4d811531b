"""Certificates whose rows were changed by hand, or that a list of the CA lacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from reconciler.core.audit.certificate_events import (
    CertificateRevokedAtCa,
)
from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.certificates import read_crl
from reconciler.store.audit import log as audit
from reconciler.store.issuance.crl import store_crl
from tests.support.database.hand_changes import by_hand, one
from tests.support.database.records import enroll, grant_of

if TYPE_CHECKING:
    from reconciler.crypto.ca_material import CaMaterial
    from tests.support.commands.in_process import Quick


def test_what_was_ended_by_hand_stays_ended_and_its_certificates_go_to_the_ca(
    mosaic: Quick,
) -> None:
    serial = enroll(mosaic, "x")
    by_hand(
        mosaic,
        "UPDATE federation_grants SET status = 'revoked', revoked_at = now() WHERE name = 'x'",
    )
    drift = one(mosaic)
    assert drift["what"] == "ended"
    assert "is not restored" in drift["remedy"]
    mosaic.ok("drift", "--revert", "--yes")
    status = "SELECT status FROM federation_certificates WHERE serial = :serial"
    assert mosaic.rows.one(status, serial=serial) == "revoking"
    assert mosaic.document("drift") == []


def test_a_certificate_called_revoked_by_hand_is_carried_to_the_ca(mosaic: Quick) -> None:
    serial = enroll(mosaic, "x")
    by_hand(
        mosaic,
        "UPDATE federation_certificates SET status = 'revoking'",
        "UPDATE federation_certificates SET status = 'revoked', revoked_at = now()",
    )
    drift = one(mosaic)
    assert (drift["kind"], drift["name"], drift["grant"]) == ("Certificate", serial, "x")
    mosaic.ok("drift", "--revert", "--yes", "grant/x")
    status = "SELECT status FROM federation_certificates WHERE serial = :serial"
    assert mosaic.rows.one(status, serial=serial) == "revoking"
    assert mosaic.document("drift") == []


@pytest.mark.parametrize("listed", [True, False])
def test_a_revocation_that_a_newer_list_lacks_is_carried_to_the_ca_again(
    mosaic: Quick, listed: bool
) -> None:
    serial = enroll(mosaic, "x")
    material = new_ca("Alpha", datetime.now(UTC))
    for status, revoked in (("revoking", "NULL"), ("revoked", "now() - interval '1 hour'")):
        mosaic.rows.run(
            "UPDATE federation_certificates SET chain_pem = :chain,"
            f" status = '{status}', revoked_at = {revoked}",
            chain=material.intermediate,
        )
    done = CertificateRevokedAtCa(grant_of(mosaic, "x"), serial, "revoked")
    crl = signed_crl(material, [serial] if listed else [])
    with mosaic.rows.database.transaction() as tx:
        audit.append(tx, "worker:tests", [done])
        store_crl(tx, read_crl(crl, material.intermediate), crl)
    document = mosaic.document("drift")
    assert [(each["name"], each["what"]) for each in document] == (
        [] if listed else [(serial, "unlisted")]
    )
    mosaic.ok("drift", "--revert", "--yes")
    status = mosaic.rows.one("SELECT status FROM federation_certificates")
    assert status == ("revoked" if listed else "revoking")
    assert mosaic.document("drift") == []
    (story,) = mosaic.document("explain", "grant", "x")
    requeued = [each for each in story["entries"] if each["kind"] == "certificate.requeued"]
    assert [each["data"]["serial"] for each in requeued] == ([] if listed else [serial])


def signed_crl(material: CaMaterial, serials: list[str]) -> bytes:
    """Return a list as the authority signs it, of these serials."""
    issuer = x509.load_pem_x509_certificate(material.intermediate.encode())
    key = serialization.load_pem_private_key(material.intermediate_key, None)
    now = datetime.now(UTC)
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now)
        .next_update(now + timedelta(hours=1))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16))
        made = made.add_revoked_certificate(entry.revocation_date(now).build())
    signed = made.sign(key, hashes.SHA256())  # type: ignore[arg-type]  # a CA key signs
    return signed.public_bytes(serialization.Encoding.DER)
