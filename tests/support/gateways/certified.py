"""Certificates of grants without a CA: real DER, and the rows that an enrollment leaves behind."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from tests.support.gateways.enrollee import Rows

_STATEMENTS: Final = (
    (
        "UPDATE federation_enrollment_tokens SET status = 'claimed', claimed_at = now(),"
        " claimed_spki = :spki WHERE public_id = :token"
    ),
    (
        "INSERT INTO federation_keys (spki_sha256, grant_id)"
        " SELECT claimed_spki, grant_id FROM federation_enrollment_tokens WHERE public_id = :token"
    ),
    (
        "INSERT INTO federation_certificates (id, grant_id, token_id, serial, spki_sha256, csr_pem,"
        " status, cert_pem, chain_pem, answer, fingerprint, not_before, not_after, issued_at)"
        " SELECT gen_random_uuid(), grant_id, id, :serial, claimed_spki, 'csr', 'issued', 'leaf',"
        " 'chain', '{}', :fingerprint, :not_before, :not_after, now()"
        " FROM federation_enrollment_tokens WHERE public_id = :token"
    ),
    "UPDATE federation_enrollment_tokens SET status = 'spent' WHERE public_id = :token",
    (
        "UPDATE federation_peers SET status = 'active', activated_at = now()"
        " WHERE status = 'pending' AND id IN (SELECT peer_id FROM federation_grants"
        " WHERE name = :grant)"
    ),
    (
        "UPDATE federation_grants SET status = 'active', activated_at = now()"
        " WHERE name = :grant AND status = 'pending'"
    ),
)


@dataclass(frozen=True)
class Certified:
    """A certificate that has a row."""

    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def serial(self) -> str:
        return format(self.certificate.serial_number, "x")

    @property
    def fingerprint(self) -> str:
        return f"sha256:{hashlib.sha256(self.der).hexdigest()}"

    @property
    def escaped(self) -> str:
        """As nginx has it in `$ssl_client_escaped_cert`."""
        return quote(self.certificate.public_bytes(Encoding.PEM), safe="")

    def headers(self, name: str = "Client-Cert") -> dict[str, str]:
        """Return the header in which a proxy forwards it."""
        return {
            "Client-Cert": {name: f":{b64encode(self.der).decode()}:"},
            "X-SSL-Client-Cert": {name: self.escaped},
            "X-Forwarded-Client-Cert": {name: f'By=a;Hash=b;Cert="{self.escaped}"'},
        }[name]


def make_certificate(serial: int | None = None) -> Certified:
    """Make a certificate that no row knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "beta")])
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
    )
    return Certified(builder.sign(key, hashes.SHA256()))


def certify(rows: Rows, grant: str) -> Certified:
    """Make a certificate of a grant, and the grant's rows those of one that was enrolled under."""
    made = make_certificate()
    certificate, token = made.certificate, rows.invite(grant)
    values: dict[str, object] = {
        "spki": hashlib.sha256(made.der).hexdigest(),
        "token": token.public_id,
        "serial": made.serial,
        "fingerprint": made.fingerprint,
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
        "grant": grant,
    }
    with rows.database.transaction() as tx:
        for statement in _STATEMENTS:
            tx.run(statement, **values)
    return made
