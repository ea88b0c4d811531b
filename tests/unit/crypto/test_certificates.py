"""Certificates, chains and revocation lists, right and wrong."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.issuance.x509 import OID_CLIENT_AUTH
from reconciler.crypto.ca_material import CaMaterial, new_ca
from reconciler.crypto.certificates import (
    MAX_BUNDLE,
    fingerprint_of,
    pinned_roots,
    read_certificate,
    read_crl,
    split_pem,
    subject_key_id,
    verify_chain,
)
from reconciler.crypto.keys import generate_key
from reconciler.crypto.subject_names import other_names
from reconciler.errors import Refused, Retry

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CA = new_ca("Alpha", NOW)
TWIN = new_ca("Alpha", NOW)  # the same names, other keys
OTHER = new_ca("Mallory", NOW)


@dataclass
class Leaf:
    """A leaf in the making: what is left unsaid is right."""

    ca: CaMaterial = CA
    issuer: str = ""
    key: Any = None
    start: datetime = NOW
    end: datetime = NOW + DAY
    extensions: tuple[x509.ExtensionType, ...] = ()

    def pem(self) -> str:
        issuer = x509.load_pem_x509_certificate((self.issuer or self.ca.intermediate).encode())
        signer = self.key or private(self.ca.intermediate_key)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "grant-1")]))
            .issuer_name(issuer.subject)
            .public_key(generate_key().public_key())
            .serial_number(0x1F)
            .not_valid_before(self.start)
            .not_valid_after(self.end)
        )
        for extension in self.extensions:
            builder = builder.add_extension(extension, critical=False)
        return pem_of(builder.sign(signer, hashes.SHA256()))


def private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def refused(leaf: str, chain: list[str], roots: list[str] | None = None, at: datetime = NOW) -> str:
    with pytest.raises(Retry) as caught:
        verify_chain(leaf, chain, roots or [CA.root], at)
    assert caught.value.code == "ca_wrong_answer"
    return caught.value.message


LEAF = Leaf().pem()


def test_a_leaf_leads_through_the_intermediate_to_the_root() -> None:
    verify_chain(LEAF, [CA.intermediate], [CA.root], NOW)
    verify_chain(LEAF, [CA.intermediate], [OTHER.root, CA.root], NOW)


def test_a_chain_that_holds_the_root_itself_is_accepted() -> None:
    verify_chain(LEAF, [CA.intermediate, CA.root], [CA.root], NOW)


def test_of_two_roots_of_one_name_the_one_that_signed_is_taken() -> None:
    verify_chain(LEAF, [CA.intermediate], [TWIN.root, CA.root], NOW)


@pytest.mark.parametrize("at", [NOW - timedelta(seconds=1), NOW + DAY + timedelta(seconds=1)])
def test_a_leaf_outside_its_time_is_refused_and_the_clock_named(at: datetime) -> None:
    message = refused(LEAF, [CA.intermediate], at=at)
    assert at.isoformat() in message
    assert "check the clocks" in message


def test_an_expired_intermediate_is_refused() -> None:
    later = NOW + timedelta(days=1826)
    leaf = Leaf(start=later - DAY, end=later + DAY).pem()
    assert "check the clocks" in refused(leaf, [CA.intermediate], at=later)


def test_an_expired_root_is_refused() -> None:
    later = NOW + timedelta(days=3651)
    leaf = Leaf(issuer=CA.root, key=private(CA.root_key), start=NOW, end=later + DAY).pem()
    assert "check the clocks" in refused(leaf, [], at=later)


def test_an_issuer_that_is_no_ca_is_refused() -> None:
    key = generate_key()
    assert refused(Leaf(issuer=LEAF, key=key).pem(), [LEAF, CA.intermediate]) == (
        "an issuer may not sign certificates"
    )


def test_a_leaf_of_another_signer_is_refused() -> None:
    forged = Leaf(key=generate_key()).pem()
    assert "is not signed by the next" in refused(forged, [CA.intermediate])


def test_an_intermediate_of_another_authority_of_the_same_name_is_refused() -> None:
    leaf = Leaf(ca=TWIN).pem()
    assert "is not signed by the next" in refused(leaf, [TWIN.intermediate])
    assert "is not signed by the next" in refused(leaf, [CA.intermediate])


def test_another_root_is_refused() -> None:
    assert refused(LEAF, [CA.intermediate], [OTHER.root]) == (
        "the chain does not end at the pinned root"
    )


@pytest.mark.parametrize("roots", [[CA.root], [CA.root, OTHER.root]])
def test_a_missing_intermediate_is_refused(roots: list[str]) -> None:
    assert refused(LEAF, [], roots) == "the chain does not end at the pinned root"


def test_a_chain_out_of_order_is_refused() -> None:
    refused(LEAF, [CA.root, CA.intermediate])
    refused(CA.intermediate, [LEAF])


@pytest.mark.parametrize("junk", ["", "hello", LEAF.replace("M", "N", 1)])
def test_what_is_no_certificate_is_refused(junk: str) -> None:
    refused(junk, [CA.intermediate])
    refused(LEAF, [junk])


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@given(st.integers(0, 2000), st.integers(1, 255))
def test_no_altered_byte_of_a_leaf_crashes_or_verifies(place: int, change: int) -> None:
    der = bytearray(base64.b64decode("".join(LEAF.splitlines()[1:-1])))
    der[place % len(der)] ^= change
    body = base64.encodebytes(bytes(der)).decode()
    altered = f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
    refused(altered, [CA.intermediate])
    try:
        read_certificate(altered)
    except ValueError as error:
        assert str(error).startswith("the certificate cannot be read")  # noqa: PT017 - may be read


def test_the_facts_of_a_certificate() -> None:
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3.1"), b"\x0c\x03abc")
    number = x509.OtherName(x509.ObjectIdentifier("1.2.3.2"), b"\x02\x01\x05")
    uri = x509.UniformResourceIdentifier("mosaic://grant/1")
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("https://a/crl")], None, None, None
    )
    pem = Leaf(
        extensions=(
            x509.SubjectAlternativeName([other, number, uri, x509.DNSName("a.example")]),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
            x509.CRLDistributionPoints([point]),
            x509.BasicConstraints(ca=True, path_length=None),
        )
    ).pem()
    facts = read_certificate(pem)
    assert facts.serial == "1f"
    assert facts.fingerprint == fingerprint_of(pem)
    assert facts.common_names == ("grant-1",)
    assert (facts.not_before, facts.not_after) == (NOW, NOW + DAY)
    assert facts.is_ca
    assert facts.extended_key_usage == (OID_CLIENT_AUTH,)
    assert facts.other_names == (("1.2.3.1", "abc"), ("1.2.3.2", None))
    assert facts.general_names == ("uri:mosaic://grant/1", "dns:a.example")
    assert facts.crl_urls == ("https://a/crl",)


@pytest.mark.parametrize(
    ("der", "text"),
    [
        (b"\x0c\x00", ""),
        (b"\x0c\x02\xc3\xbc", "ü"),
        (b"\x0c\x81\x80" + b"a" * 128, "a" * 128),
        (b"\x0c\x03ab", None),
        (b"\x0c\x01ab", None),
        (b"\x0c\x01\xff", None),
        (b"\x13\x01a", None),
        (b"\x0c\x82\x01", None),
    ],
)
def test_only_a_whole_utf8_string_is_the_text_of_an_other_name(
    der: bytes, text: str | None
) -> None:
    name = x509.OtherName(x509.ObjectIdentifier("1.2.3"), der)
    assert other_names([name]) == (("1.2.3", text),)


def test_a_bundle_is_split_and_has_a_limit() -> None:
    assert split_pem(f"# roots\n{CA.root}\n\n{OTHER.root}") == (CA.root, OTHER.root)
    assert len(split_pem(CA.root * MAX_BUNDLE)) == MAX_BUNDLE
    for wrong in ("", "hello", CA.root * (MAX_BUNDLE + 1), "-----BEGIN CERTIFICATE-----" * 10_000):
        with pytest.raises(ValueError, match="expected 1 to 16"):
            split_pem(wrong)


def test_the_pinned_roots_of_a_bundle_are_told_from_the_others() -> None:
    bundle, pin = OTHER.root + CA.root, fingerprint_of(CA.root)
    assert pinned_roots(bundle, [pin]) == ((CA.root,), (OTHER.root,))
    both = [pin, fingerprint_of(OTHER.root)]
    assert pinned_roots(bundle, both) == ((OTHER.root, CA.root), ())
    assert pinned_roots(CA.root, both) == ((CA.root,), ())


@pytest.mark.parametrize(
    "bundle", [OTHER.root, "", "hello", CA.root.replace("M", "N", 1), CA.root * 17]
)
def test_a_bundle_without_the_pinned_root_is_refused(bundle: str) -> None:
    with pytest.raises(Refused) as caught:
        pinned_roots(bundle, [fingerprint_of(CA.root)])
    assert caught.value.code == "pin_mismatch"
    assert "nothing was sent" in caught.value.hint


def crl(ca: CaMaterial = CA, *serials: int, number: int | None = 7) -> bytes:
    issuer = x509.load_pem_x509_certificate(ca.intermediate.encode()).subject
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer)
        .last_update(NOW)
        .next_update(NOW + DAY)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
        builder = builder.add_revoked_certificate(revoked.build())
    signed = builder.sign(private(ca.intermediate_key), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def test_a_revocation_list_is_read() -> None:
    facts = read_crl(crl(CA, 0x1F, 0xABCDEF), CA.intermediate)
    assert facts.serials == {"1f", "abcdef"}
    assert (facts.number, facts.this_update, facts.next_update) == (7, NOW, NOW + DAY)
    assert facts.issuer_key_id == subject_key_id(CA.intermediate) == CA.issuer_key_id


def test_an_empty_revocation_list_is_read() -> None:
    assert read_crl(crl(), CA.intermediate).serials == frozenset()


@pytest.mark.parametrize("der", [b"", b"hello", crl()[:-1], crl(number=None), b"0" * 10_000])
def test_what_is_no_revocation_list_is_refused(der: bytes) -> None:
    with pytest.raises(Retry, match="the revocation list cannot be read"):
        read_crl(der, CA.intermediate)


def test_a_revocation_list_of_another_issuer_is_refused() -> None:
    for other in (TWIN, OTHER):
        with pytest.raises(Retry, match="not signed by our issuer"):
            read_crl(crl(other), CA.intermediate)


def test_an_altered_revocation_list_is_refused() -> None:
    der = bytearray(crl(CA, 0x1F))
    der[-1] ^= 1
    with pytest.raises(Retry):
        read_crl(bytes(der), CA.intermediate)


def test_the_repr_of_an_authority_shows_no_key() -> None:
    assert "PRIVATE" not in repr(CA)
    assert "'d'" not in repr(CA)
