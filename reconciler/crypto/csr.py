"""Certificate signing requests: read with caps before parsing, checked, and made."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from reconciler.core.x509 import CsrFacts, check_csr
from reconciler.crypto.keys import describe_key, spki_der, spki_sha256
from reconciler.crypto.names import UNREADABLE, common_names, general_names
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.crypto.keys import PrivateKey

MAX_CSR_DER: Final = 4096  # octets

_NAMED_KINDS: Final = ("dns:", "ip:", "uri:", "email:")
_PEM: Final = re.compile(
    r"-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----([A-Za-z0-9+/=\s]+)-----END \1-----",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class VerifiedCsr:
    """A CSR whose holder has proved the key, and that our policy accepts.

    `spki_sha256` is 64 hex digits; `pem` is our own writing of the DER.
    """

    pem: str
    der: bytes
    facts: CsrFacts

    @property
    def spki_sha256(self) -> str:
        """The SHA-256 of the public key, as 64 hex digits."""
        return self.facts.spki_sha256

    @property
    def digest_b64url(self) -> str:
        """The unpadded base64url SHA-256 of the DER, as `csr#S256` and `cnf.x5rt#S256` want it."""
        return csr_digest(self.der)


def csr_digest(der: bytes) -> str:
    """Return the unpadded base64url SHA-256 of a CSR's DER."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def digest_of_pem(csr_pem: str) -> str:
    """Return `csr_digest` of a CSR that we made, as PEM."""
    return csr_digest(_der_of(csr_pem))


def read_csr(unverified_csr: str) -> VerifiedCsr:
    """Return the CSR of a PEM text, once its caps, its signature and our policy have held.

    Raises:
        Refused: `csr_malformed`, `csr_too_large`, `csr_signature`, `csr_key` or `csr_names`.
    """
    der = _der_of(unverified_csr)
    try:
        request = x509.load_der_x509_csr(der)
        public_key = request.public_key()
        names = _san(request)
        proved = request.is_signature_valid  # RFC 2986 4.2: the holder has the key
    except UNREADABLE:
        raise _malformed("the CSR cannot be parsed, or its key is of an unknown kind") from None
    if not proved:
        raise Refused(
            "csr_signature",
            "the CSR is not signed by its own key",
            hint="make the CSR again: openssl req -new -key KEY -subj / -out CSR",
        )
    if spki_der(public_key) not in request.tbs_certrequest_bytes:
        raise Refused(
            "csr_key",
            "the CSR's key is not written as RFC 5480 and RFC 3279 want it",
            hint="name the curve, and write the point uncompressed, as openssl does by default",
        )
    key_type, key_bits = describe_key(public_key)
    facts = CsrFacts(
        spki_sha256=spki_sha256(public_key),
        key_type=key_type,
        key_bits=key_bits,
        common_names=common_names(request.subject),
        names=names,
    )
    check_csr(facts)
    return VerifiedCsr(request.public_bytes(serialization.Encoding.PEM).decode(), der, facts)


def make_csr(key: PrivateKey, common_name: str = "") -> str:
    """Return a CSR for the key, as PEM, with no name in it but a common name where one is given."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = builder.sign(key, algorithm)
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _der_of(unverified_csr: str) -> bytes:
    found = _PEM.fullmatch(unverified_csr.strip())
    if found is None:
        raise _malformed("got text that is not one PEM block of a certificate request")
    if len(found[2]) > 2 * MAX_CSR_DER:
        raise _too_large()
    try:
        der = base64.b64decode("".join(found[2].split()), validate=True)
    except ValueError:
        raise _malformed("the PEM block is not base64") from None
    if len(der) > MAX_CSR_DER:
        raise _too_large()
    return der


def _san(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name for name in general_names(extension.value) if name.startswith(_NAMED_KINDS))


def _malformed(message: str) -> Refused:
    hint = "send one PEM block: openssl req -new -key KEY -subj / -out CSR"
    return Refused("csr_malformed", message, hint=hint)


def _too_large() -> Refused:
    return Refused("csr_too_large", f"the CSR is larger than {MAX_CSR_DER} octets of DER")
