"""Certificate signing requests: read with caps before parsing, checked, and made."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding
from cryptography.x509.oid import NameOID

from reconciler.core.issuance.x509 import CsrFacts, check_csr
from reconciler.crypto.keys import describe_key, rsa_exponent, spki_der, spki_sha256
from reconciler.crypto.subject_names import UNREADABLE, any_length, common_names, general_names
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.crypto.keys import PrivateKey

MAX_CSR_DER: Final = 4096  # octets

_NAMED_KINDS: Final = ("dns:", "ip:", "uri:", "email:")
_LABELS: Final = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----", re.ASCII)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/=\s]+", re.ASCII)
_SIGNATURE_HASHES: Final = ("sha256", "sha384", "sha512")  # what step-ca verifies and is not broken
_WRONG_STRING: Final = "AttributeTypeValue::value"  # where the library says that a name's text is
_RSASSA_PSS: Final = bytes.fromhex("06092a864886f70d01010a")  # id-RSASSA-PSS (RFC 8017 A.2.3)


@dataclass(frozen=True, slots=True)
class UnverifiedCsr:
    """A CSR that our policy accepts; whether its holder has the key is another question."""

    request: x509.CertificateSigningRequest
    der: bytes
    facts: CsrFacts


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
    """Return the CSR of a PEM text, as `parse_csr` and `verify_csr` do."""
    return verify_csr(parse_csr(unverified_csr))


def parse_csr(unverified_csr: str) -> UnverifiedCsr:
    """Return the CSR of a PEM text, once its size, its key and its names have been judged.

    No signature is verified before: with a key of another kind, size or exponent that takes up to
    100 times as long.

    Raises:
        Refused: `csr_malformed`, `csr_too_large`, `csr_signature`, `csr_key` or `csr_names`.
    """
    der = _der_of(unverified_csr)
    try:
        request = x509.load_der_x509_csr(der)
        public_key = request.public_key()
        with any_length():
            names, common = _san(request), _common_names(request)
        _check_hash(request)
    except UNREADABLE as error:
        if _WRONG_STRING in str(error):
            raise _wrong_text() from None
        raise _malformed("the CSR cannot be parsed, or its key is of an unknown kind") from None
    if spki_der(public_key) not in request.tbs_certrequest_bytes:
        raise _unusual_key(request)
    _check_salt(request)
    key_type, key_bits = describe_key(public_key)
    facts = CsrFacts(
        spki_sha256=spki_sha256(public_key),
        key_type=key_type,
        key_bits=key_bits,
        common_names=common,
        names=names,
        rsa_exponent=rsa_exponent(public_key),
    )
    check_csr(facts)
    return UnverifiedCsr(request, der, facts)


def verify_csr(csr: UnverifiedCsr) -> VerifiedCsr:
    """Return the CSR once its holder has proved the key (RFC 2986 4.2).

    Raises:
        Refused: `csr_signature` or `csr_malformed`.
    """
    try:
        proved = csr.request.is_signature_valid
    except UNREADABLE:
        raise _malformed("the CSR's signature is of an unknown kind") from None
    if not proved:
        raise _signature("the CSR is not signed by its own key")
    pem = csr.request.public_bytes(serialization.Encoding.PEM).decode()
    return VerifiedCsr(pem, csr.der, csr.facts)


def make_csr(key: PrivateKey, common_name: str = "") -> str:
    """Return a CSR for the key, as PEM, with no name in it but a common name where one is given."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = builder.sign(key, algorithm)
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _der_of(unverified_csr: str) -> bytes:
    """Return the DER of the one PEM block; text around it is read over (RFC 7468 2 and 5.2)."""
    begins = list(_BEGIN.finditer(unverified_csr))
    labels = [begin[1] for begin in begins]
    if any(label.endswith("PRIVATE KEY") for label in labels):
        raise _malformed(
            "got a private key beside the CSR: consider it stolen",
            hint="make a new key, and send only its CSR; never send a key to anybody",
        )
    if len(labels) != 1 or labels[0] not in _LABELS:
        got = ", ".join(labels[:5]) or "none"
        raise _malformed(f"got the PEM blocks {got}, expected one CERTIFICATE REQUEST")
    text, end, _ = unverified_csr[begins[0].end() :].partition(f"-----END {labels[0]}-----")
    if len(text) > 2 * MAX_CSR_DER:
        raise _too_large()
    if not end or not _BASE64.fullmatch(text):
        raise _malformed("the PEM block has no end, or what is in it is not base64")
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise _malformed("the PEM block is not base64") from None
    if len(der) > MAX_CSR_DER:
        raise _too_large()
    return der


def _check_hash(request: x509.CertificateSigningRequest) -> None:
    algorithm = request.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in _SIGNATURE_HASHES:
        raise _signature(f"the CSR is signed with {algorithm.name.upper()}, expected SHA-256")


def _check_salt(request: x509.CertificateSigningRequest) -> None:
    """Refuse RSA-PSS with any salt but the one that step-ca (Go's crypto/x509) verifies."""
    algorithm, parameters = request.signature_hash_algorithm, request.signature_algorithm_parameters
    if algorithm is None or not isinstance(parameters, padding.PSS):
        return
    salt = parameters._salt_length  # noqa: SLF001 - the library has no other way to ask
    if salt != algorithm.digest_size:
        raise _signature(
            f"the CSR is signed with RSA-PSS and a salt of {salt} octets, "
            f"expected {algorithm.digest_size}"
        )


def _common_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    try:
        return common_names(request.subject)
    except UNREADABLE:
        raise _wrong_text() from None


def _san(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name for name in general_names(extension.value) if name.startswith(_NAMED_KINDS))


def _wrong_text() -> Refused:
    return Refused(
        "csr_names",
        "the CSR's subject has text that is not of the string type that it is declared as",
        hint="write it as UTF-8 (openssl req -utf8), or leave it out: "
        "openssl req -new -key KEY -subj / -out CSR",
    )


def _malformed(
    message: str, *, hint: str = "send one PEM block: openssl req -new -key KEY -subj / -out CSR"
) -> Refused:
    return Refused("csr_malformed", message, hint=hint)


def _signature(message: str) -> Refused:
    hint = "make the CSR again: openssl req -new -sha256 -key KEY -subj / -out CSR"
    return Refused("csr_signature", message, hint=hint)


def _unusual_key(request: x509.CertificateSigningRequest) -> Refused:
    if _RSASSA_PSS in request.tbs_certrequest_bytes:
        return Refused(
            "csr_key",
            "RSA-PSS keys are not accepted",
            hint="make a key of P-256, or of plain RSA: openssl genpkey -algorithm RSA "
            "-pkeyopt rsa_keygen_bits:3072",
        )
    return Refused(
        "csr_key",
        "the CSR's key is not written as RFC 5480 and RFC 3279 want it",
        hint="name the curve, and write the point uncompressed, as openssl does by default",
    )


def _too_large() -> Refused:
    return Refused("csr_too_large", f"the CSR is larger than {MAX_CSR_DER} octets of DER")
