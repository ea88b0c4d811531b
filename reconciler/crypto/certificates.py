"""Certificates and revocation lists: facts out of PEM and DER, pins, and chains to a root."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from reconciler.core.authority.decision import CertificateIdentity
from reconciler.core.issuance.x509 import CertificateFacts, SignedLeaf, check_leaf
from reconciler.crypto.keys import spki_sha256
from reconciler.crypto.subject_names import UNREADABLE, common_names, general_names, other_names
from reconciler.errors import Refused, Retry

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from reconciler.core.issuance.x509 import ExpectedLeaf

_E = TypeVar("_E", bound=x509.ExtensionType)

MAX_BUNDLE: Final = 16  # certificates in one PEM bundle

_BLOCK: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]{1,16384}?-----END CERTIFICATE-----", re.ASCII
)


@dataclass(frozen=True, slots=True)
class CrlFacts:
    """A revocation list whose signature has verified; serials in lower-case hex."""

    issuer_key_id: str
    number: int
    this_update: datetime
    next_update: datetime
    serials: frozenset[str]


def split_pem(text: str) -> tuple[str, ...]:
    """Return the certificates of a PEM bundle, at most `MAX_BUNDLE`, each ending with a newline.

    Raises:
        ValueError: there is none, or more than the limit.
    """
    blocks = _BLOCK.findall(text)
    if not 1 <= len(blocks) <= MAX_BUNDLE:
        raise ValueError(f"got {len(blocks)} certificates, expected 1 to {MAX_BUNDLE}")
    return tuple(f"{block}\n" for block in blocks)


def read_certificate(pem: str) -> CertificateFacts:
    """Return the facts of one PEM certificate; raise `ValueError` where it cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        return _facts(certificate)
    except UNREADABLE as error:
        raise ValueError(f"the certificate cannot be read: {error}") from None


@lru_cache(1024)
def certificate_identity(der: bytes) -> CertificateIdentity:
    """Return what names a certificate, of its DER.

    Raises:
        Refused: `request_malformed`: it is no certificate.
    """
    try:
        serial = x509.load_der_x509_certificate(der).serial_number
    except UNREADABLE:
        raise Refused("request_malformed", "the DER is not a certificate") from None
    return CertificateIdentity(format(serial, "x"), f"sha256:{hashlib.sha256(der).hexdigest()}")


def plain_pem(pem: str) -> str:
    """Return the first certificate of a text as PEM that ends with a newline, and nothing else."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint_of(pem: str) -> str:
    """Return `sha256:<hex>` of a certificate's DER."""
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def subject_key_id(pem: str) -> str:
    """Return a certificate's subject key identifier (RFC 5280 4.2.1.2) in hex."""
    return _subject_key_id(x509.load_pem_x509_certificate(pem.encode()))


def _subject_key_id(certificate: x509.Certificate) -> str:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return extension.value.digest.hex()


def pinned_roots(
    unverified_bundle: str, pins: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the certificates of the bundle whose fingerprint is one of the pins, and the others.

    Each is plain PEM, as files are made of them: programs refuse some spellings that are read here.

    Raises:
        Refused: `pin_mismatch`: the bundle has none of the first, or one that cannot be read.
    """
    try:
        named = [(fingerprint_of(pem), plain_pem(pem)) for pem in split_pem(unverified_bundle)]
    except UNREADABLE:
        raise Refused(
            "pin_mismatch", "the other gateway's roots are not a PEM bundle", hint=_PIN_HINT
        ) from None
    pinned = {fingerprint: pem for fingerprint, pem in named if fingerprint in pins}
    others = tuple(pem for fingerprint, pem in named if fingerprint not in pins)
    if not pinned:
        raise Refused(
            "pin_mismatch",
            f"none of the other gateway's roots has the fingerprint {' or '.join(pins)}",
            hint=_PIN_HINT,
        )
    return tuple(pinned.values()), others


_PIN_HINT: Final = "nothing was sent; ask the grantor, over a channel you trust, for the invitation"


def verify_chain(leaf: str, chain: Sequence[str], roots: Sequence[str], at: datetime) -> None:
    """Check that the leaf leads through the chain to one of the roots at that moment.

    RFC 5280 6.1, as far as our two-step chains need: every step is signed by the next, is valid at
    `at`, and every issuer is a CA that may sign certificates.

    Raises:
        Retry: `ca_wrong_answer`.
    """
    _check_path(_path(leaf, chain), roots, at)


def check_signed(
    leaf: str, chain: Sequence[str], roots: Sequence[str], at: datetime, expected: ExpectedLeaf
) -> SignedLeaf:
    """Return a certificate that the CA returned, once it is what was requested.

    Raises:
        Retry: `ca_wrong_answer`, as `verify_chain` and `check_leaf`.
    """
    if not chain:
        raise _bad_chain("the CA returned no intermediate certificate")
    path = _path(leaf, chain)
    _check_path(path, roots, at)
    try:
        facts, issuer_key_id = _facts(path[0]), _subject_key_id(path[1])
    except UNREADABLE as error:
        raise _bad_chain(f"the certificate cannot be read: {error}") from None
    check_leaf(facts, expected, issuer_key_id)
    return SignedLeaf(leaf, tuple(chain), facts)


def _path(leaf: str, chain: Sequence[str]) -> list[x509.Certificate]:
    try:
        return [x509.load_pem_x509_certificate(leaf.encode()), *map(_ca_certificate, chain)]
    except UNREADABLE:
        raise _bad_chain("a certificate of the chain cannot be read") from None


def _check_path(path: Sequence[x509.Certificate], roots: Sequence[str], at: datetime) -> None:
    for certificate, issuer in pairwise(path):
        _check_step(certificate, issuer, at)
    anchor = _anchor_of(path[-1], [_ca_certificate(root) for root in roots])
    _check_step(path[-1], anchor, at)
    _check_valid(anchor, at)


@lru_cache(64)
def _ca_certificate(pem: str) -> x509.Certificate:
    """Return a certificate above a leaf: the same few, again and again."""
    return x509.load_pem_x509_certificate(pem.encode())


def read_crl(der: bytes, issuer: str) -> CrlFacts:
    """Return the facts of a revocation list that the issuer signed.

    Raises:
        Retry: `ca_wrong_answer`: it cannot be read, or another key signed it.
    """
    certificate = x509.load_pem_x509_certificate(issuer.encode())
    try:
        crl = x509.load_der_x509_crl(der)
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        signed = crl.is_signature_valid(certificate.public_key())  # type: ignore[arg-type]  # a CA key signs
        next_update = crl.next_update_utc
    except UNREADABLE:
        raise Retry("ca_wrong_answer", "the revocation list cannot be read") from None
    if not signed or next_update is None:
        raise Retry("ca_wrong_answer", "the revocation list is not signed by our issuer")
    return CrlFacts(
        issuer_key_id=subject_key_id(issuer),
        number=number,
        this_update=crl.last_update_utc,
        next_update=next_update,
        serials=frozenset(format(entry.serial_number, "x") for entry in crl),
    )


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    extensions = certificate.extensions
    san = _extension(extensions, x509.SubjectAlternativeName)
    usage = _extension(extensions, x509.ExtendedKeyUsage)
    basic = _extension(extensions, x509.BasicConstraints)
    points = _extension(extensions, x509.CRLDistributionPoints)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return CertificateFacts(
        serial=format(certificate.serial_number, "x"),
        fingerprint=f"sha256:{hashlib.sha256(der).hexdigest()}",
        spki_sha256=spki_sha256(certificate.public_key()),
        common_names=common_names(certificate.subject),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=basic is not None and basic.ca,
        extended_key_usage=tuple(oid.dotted_string for oid in usage or ()),
        other_names=other_names(san or ()),
        general_names=general_names(san or ()),
        crl_urls=tuple(str(name.value) for point in points or () for name in point.full_name or ()),
    )


def _extension(extensions: x509.Extensions, wanted: type[_E]) -> _E | None:
    try:
        return extensions.get_extension_for_class(wanted).value
    except x509.ExtensionNotFound:
        return None


def _check_step(certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> None:
    _check_valid(certificate, at)
    try:
        basic = _extension(issuer.extensions, x509.BasicConstraints)
        usage = _extension(issuer.extensions, x509.KeyUsage)
    except UNREADABLE:
        raise _bad_chain("an issuer's extensions cannot be read") from None
    if basic is None or not basic.ca or usage is None or not usage.key_cert_sign:
        raise _bad_chain("an issuer may not sign certificates")  # RFC 5280 6.1.4 (k) (n)
    if not _signed_by(certificate, issuer):
        raise _bad_chain("a certificate of the chain is not signed by the next")


def _anchor_of(last: x509.Certificate, roots: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the root that signed `last`; roots of a rotation may share one name."""
    named = [root for root in roots if root.subject == last.issuer]
    if not named:
        raise _bad_chain("the chain does not end at the pinned root")
    return next((root for root in named if _signed_by(last, root)), named[0])


@lru_cache(256)  # an intermediate's signature is verified once
def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except UNREADABLE:
        return False
    return True


def _check_valid(certificate: x509.Certificate, at: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= at <= end:  # RFC 5280 6.1.3 (a) (2)
        raise _bad_chain(
            f"a certificate is valid from {start.isoformat()} to {end.isoformat()}, and here it is "
            f"{at.isoformat()}: check the clocks"
        )


def _bad_chain(message: str) -> Retry:
    return Retry("ca_wrong_answer", message, hint="the certificate is not used")
