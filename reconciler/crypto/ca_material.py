"""The material of a certificate authority, as values: certificates, provisioner keys, `ca.json`.

Nothing is written here. The shape of `ca.json` follows step-ca 0.30.2 (`authority/config`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey

from reconciler.core.issuance.crl_locations import CrlLocations, template_data
from reconciler.crypto.certificates import subject_key_id
from reconciler.crypto.keys import generate_key, private_key_pem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

PEERS: Final = "peers"
GATEWAY: Final = "gateway"
REVOCATIONS: Final = "revocations"
SIGNING: Final = (PEERS, GATEWAY)
PROVISIONERS: Final = (*SIGNING, REVOCATIONS)

ROOT_LIFE: Final = timedelta(days=3650)
INTERMEDIATE_LIFE: Final = timedelta(days=1825)
BACKDATE: Final = timedelta(minutes=1)  # step-ca's default, subtracted from notBefore


@dataclass(frozen=True, slots=True)
class CaMaterial:
    """A fresh authority: PEM texts, and the provisioners' documents with private keys."""

    root: str
    root_key: bytes = field(repr=False)
    intermediate: str
    intermediate_key: bytes = field(repr=False)
    provisioners: dict[str, dict[str, Any]] = field(repr=False)

    @property
    def issuer_key_id(self) -> str:
        """The intermediate's subject key identifier, in hex."""
        return subject_key_id(self.intermediate)


@dataclass(frozen=True, slots=True)
class CaPlacement:
    """Where the authority runs: names in its own certificate, address, and paths as it sees them.

    `folder` is the CA's folder as step-ca sees it (inside a container, say).
    """

    folder: str
    address: str
    dns_names: tuple[str, ...]
    crl_url: str
    oid_arc: str
    database: dict[str, Any] | None = None


def new_ca(name: str, now: datetime) -> CaMaterial:
    """Return a root, an intermediate and the provisioners, all P-256, valid from `now`."""
    root_key, intermediate_key = generate_key(), generate_key()
    root = _ca_certificate(f"{name} Root CA", root_key, None, now, ROOT_LIFE)
    intermediate = _ca_certificate(
        f"{name} Intermediate CA", intermediate_key, (root, root_key), now, INTERMEDIATE_LIFE
    )
    return CaMaterial(
        root=_pem(root),
        root_key=private_key_pem(root_key),
        intermediate=_pem(intermediate),
        intermediate_key=private_key_pem(intermediate_key),
        provisioners={each: new_provisioner(each) for each in PROVISIONERS},
    )


def _claims(shortest: str, longest: str, default: str) -> dict[str, Any]:
    return {
        "minTLSCertDuration": shortest,
        "maxTLSCertDuration": longest,
        "defaultTLSCertDuration": default,
        "disableRenewal": True,
        "allowRenewalAfterExpiry": False,
        "disableSmallstepExtensions": True,
    }


# spelled as step-ca lists them, so that `ca status` compares them as they are
CLAIMS: Final = {
    PEERS: _claims("1m0s", "169h0m0s", "24h0m0s"),
    GATEWAY: _claims("5m0s", "25h0m0s", "24h0m0s"),
    REVOCATIONS: _claims("5m0s", "5m0s", "5m0s"),
}
# By the clock, and not at each revocation: n revocations would write n lists of up to n entries.
# Half of the time for which peers are told to keep a list.
CRL_PERIOD: Final = timedelta(seconds=30)
CRL_POLICY: Final[dict[str, Any]] = {
    "enabled": True,
    "generateOnRevoke": False,
    "cacheDuration": "24h",
    "renewPeriod": f"{CRL_PERIOD.seconds}s",
}
TEMPLATES: Final = {PEERS: "peer.tpl", GATEWAY: "server.tpl", REVOCATIONS: "revocation.tpl"}


def ca_config(placement: CaPlacement, provisioners: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return `ca.json`: our provisioners, the CRL, and nothing else.

    `maxTLSCertDuration` of the peers is an hour more than the longest lifetime, because a CA whose
    clock is behind ours would refuse every certificate of exactly the maximum.
    """
    at = placement.folder
    named = (placement.crl_url,)
    data = template_data(CrlLocations(placement.oid_arc, placement.crl_url, named, named))
    return {
        "root": f"{at}/root_ca.crt",
        "federatedRoots": None,
        "crt": f"{at}/intermediate_ca.crt",
        "key": f"{at}/intermediate_ca_key",
        "address": placement.address,
        "insecureAddress": "",
        "dnsNames": list(placement.dns_names),
        "logger": {"format": "text"},
        "db": placement.database or {"type": "badgerv2", "dataSource": f"{at}/db"},
        "crl": {**CRL_POLICY, "idpURL": placement.crl_url},
        "authority": {
            "backdate": "1m0s",
            # it would refuse, for as long as our clock is behind the CA's, all that we ask of a CA
            # that has just started; what it is for, one use of a token, the CA's database sees to
            "disableIssuedAtCheck": True,
            "claims": {"disableRenewal": True, "allowRenewalAfterExpiry": False},
            "provisioners": [
                provisioner_config(name, provisioners[name]["public"], f"{at}/templates", data)
                for name in PROVISIONERS
            ],
        },
        "tls": {"minVersion": 1.2, "maxVersion": 1.3, "renegotiation": False},
    }


def provisioner_config(
    name: str, public: dict[str, Any], templates: str, data: dict[str, Any]
) -> dict[str, Any]:
    """Return a provisioner as `ca.json` lists it; `templates` is the folder as step-ca sees it.

    step-ca lets every JWK provisioner revoke, so the one for it differs by what it cannot do: its
    template refuses to make a certificate.
    """
    template = {"templateFile": f"{templates}/{TEMPLATES[name]}", "templateData": data}
    return {
        "type": "JWK",
        "name": name,
        "key": public,
        "claims": CLAIMS[name],
        "options": {"x509": template},
    }


def new_provisioner(name: str) -> dict[str, Any]:
    """Return a provisioner with a new key: its name, key id, private and public JWK."""
    key = ECKey.generate_key("P-256", private=True)
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "use": "sig", "alg": "ES256", "kid": kid}
    private = {**key.as_dict(private=True), "use": "sig", "alg": "ES256", "kid": kid}
    return {"name": name, "kid": kid, "jwk": private, "public": public}


def _ca_certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer[1] if issuer else key
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
        .add_extension(
            x509.BasicConstraints(ca=True, path_length=0 if issuer else 1), critical=True
        )
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return builder.sign(signer, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
