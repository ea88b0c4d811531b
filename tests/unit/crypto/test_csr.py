"""CSRs as strangers send them: made by openssl, by hand, and by an enemy."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from reconciler.crypto.csr import csr_digest, make_csr, parse_csr, read_csr
from reconciler.crypto.keys import generate_key, spki_sha256
from tests.support.csrs import (
    KEY,
    OURS,
    P256,
    der_of,
    openssl_csr,
    pem_of,
    refused,
    sample,
)
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


UNUSUAL = ("colon", "comma", "digits", "two-names", "empty-name", "long-name", "long-country")


def test_our_own_csr_is_read() -> None:
    verified = read_csr(OURS)
    assert verified.spki_sha256 == spki_sha256(KEY.public_key())
    assert verified.facts.common_names == ()
    assert verified.der == der_of(OURS)
    assert verified.digest_b64url == csr_digest(verified.der)
    assert re.fullmatch("[A-Za-z0-9_-]{43}", verified.digest_b64url)


def test_our_csr_for_an_ed25519_key_is_read() -> None:
    facts = read_csr(make_csr(ed25519.Ed25519PrivateKey.generate(), "beta")).facts
    assert (facts.key_type, facts.common_names) == ("Ed25519", ("beta",))


@pytest.mark.parametrize(
    "key",
    [
        P256,
        ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
        ("-newkey", "ed25519"),
        ("-newkey", "rsa:3072"),
    ],
    ids=lambda key: key[-1],
)
def test_keys_of_openssl_that_are_signed(tmp_path: Path, key: tuple[str, ...]) -> None:
    read_csr(openssl_csr(tmp_path, "-subj", "/", key=key))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (("-newkey", "rsa:2048"), "csr_key"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"), "csr_key"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"), "csr_key"),
        (("-newkey", "ed448"), "csr_key"),
        (
            (*P256, "-pkeyopt", "ec_param_enc:explicit"),
            "csr_key",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else value,
)
def test_keys_of_openssl_that_are_not(tmp_path: Path, key: tuple[str, ...], code: str) -> None:
    assert refused(openssl_csr(tmp_path, "-subj", "/", key=key)).code == code


def test_a_key_with_a_compressed_point_is_refused(tmp_path: Path) -> None:
    openssl_csr(tmp_path, "-subj", "/")
    compressed = tmp_path / "compressed.pem"
    form = ("-conv_form", "compressed")
    subprocess.run(
        ["openssl", "ec", "-in", tmp_path / "key.pem", *form, "-out", compressed],
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    key = ("-key", str(compressed))
    assert refused(openssl_csr(tmp_path, "-subj", "/", key=key)).code == "csr_key"


@pytest.mark.parametrize(
    "san", ["DNS:beta.example", "IP:127.0.0.1", "URI:mosaic://grant/x", "email:a@beta.example"]
)
def test_names_are_refused(tmp_path: Path, san: str) -> None:
    csr = openssl_csr(tmp_path, "-subj", "/", "-addext", f"subjectAltName={san}")
    assert refused(csr).code == "csr_names"


@pytest.mark.parametrize(
    "extension",
    [
        "subjectAltName=otherName:1.3.6.1.4.1.99999.1;UTF8:another-grant",
        "subjectAltName=RID:1.2.3",
        "basicConstraints=critical,CA:TRUE",
        "extendedKeyUsage=serverAuth,codeSigning",
        "keyUsage=keyCertSign",
    ],
)
def test_everything_else_is_ignored(tmp_path: Path, extension: str) -> None:
    csr = openssl_csr(tmp_path, "-subj", "/O=Beta", "-addext", extension)
    assert read_csr(csr).facts.names == ()


def test_a_name_beside_an_other_name_is_still_refused(tmp_path: Path) -> None:
    san = "subjectAltName=otherName:1.2.3;UTF8:x,DNS:beta.example"
    assert refused(openssl_csr(tmp_path, "-subj", "/", "-addext", san)).code == "csr_names"


def test_a_subject_in_a_wrong_encoding_is_refused_with_the_way_out(tmp_path: Path) -> None:
    config = tmp_path / "latin.cnf"
    config.write_text(
        "[req]\ndistinguished_name=dn\nprompt=no\nstring_mask=nombstr\n[dn]\nO=B\u00e4ta\n"
    )
    error = refused(openssl_csr(tmp_path, "-utf8", "-config", str(config)))
    assert (error.code, "-utf8" in error.hint) == ("csr_names", True)


def test_a_name_that_repeats_the_common_name_is_ignored(tmp_path: Path) -> None:
    csr = openssl_csr(tmp_path, "-subj", "/CN=beta", "-addext", "subjectAltName=DNS:beta")
    assert read_csr(csr).facts.listed_names == ("beta",)


@pytest.mark.parametrize("digest", ["-sha1", "-sha224", "-md5", "-sha3-256"])
def test_a_signature_by_a_hash_that_is_not_accepted_says_so(tmp_path: Path, digest: str) -> None:
    error = refused(openssl_csr(tmp_path, "-subj", "/", digest, key=("-newkey", "rsa:3072")))
    assert error.code == "csr_signature"
    assert error.message == f"the CSR is signed with {digest[1:].upper()}, expected SHA-256"


def test_a_signature_by_rsa_pss_with_the_usual_salt_is_accepted() -> None:
    read_csr(sample("java-pss"))


@pytest.mark.parametrize("digest", ["-sha256", "-sha384", "-sha512"])
def test_a_signature_by_sha_2_is_accepted(tmp_path: Path, digest: str) -> None:
    read_csr(openssl_csr(tmp_path, "-subj", "/", digest))


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_csr_of_any_subject_is_read(name: str) -> None:
    read_csr(sample(name))


def test_a_broken_signature_is_refused() -> None:
    der = bytearray(der_of(OURS))
    der[-1] ^= 1
    assert refused(pem_of(bytes(der))).code == "csr_signature"


def tlv(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    size = len(value).to_bytes(2, "big")
    length = size[1:] if len(value) < 128 else b"\x82" + size
    return bytes([tag]) + length + value


def integer(number: int) -> bytes:
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def unsigned_csr(algorithm: bytes, key: bytes) -> bytes:
    """Return a CSR for a key whose signature, by RSA and SHA-256, is none."""
    spki = tlv(0x30, tlv(0x30, algorithm), tlv(3, b"\0" + key))
    signed_by = tlv(0x30, bytes.fromhex("06092a864886f70d01010b0500"))
    return tlv(0x30, tlv(0x30, integer(0), tlv(0x30), spki, tlv(0xA0)), signed_by, tlv(3, b"\0\2"))


@pytest.mark.parametrize(
    ("bits", "exponent"), [(15_200, 65537), (3072, (1 << 3071) + 1), (4096, 3), (2048, 65537)]
)
def test_an_rsa_key_is_judged_before_a_signature_by_it(bits: int, exponent: int) -> None:
    key = tlv(0x30, integer((1 << (bits - 1)) + (1 << 30) + 1), integer(exponent))
    der = unsigned_csr(bytes.fromhex("06092a864886f70d0101010500"), key)
    assert refused(pem_of(der)).code == "csr_key"


def test_a_dsa_key_is_judged_before_a_signature_by_it() -> None:
    parameters = tlv(0x30, integer((1 << 3071) + 1), integer((1 << 255) + 1), integer(2))
    der = unsigned_csr(bytes.fromhex("06072a8648ce380401") + parameters, integer(3))
    assert refused(pem_of(der)).code == "csr_key"


def test_a_signature_is_verified_only_after_everything_else(tmp_path: Path) -> None:
    csr = openssl_csr(tmp_path, "-subj", "/", "-addext", "subjectAltName=DNS:beta.example")
    der = bytearray(der_of(csr))
    der[-1] ^= 1
    assert refused(pem_of(bytes(der))).code == "csr_names"
    der = bytearray(der_of(OURS))
    der[-1] ^= 1
    parse_csr(pem_of(bytes(der)))


def test_another_key_in_a_signed_csr_is_refused() -> None:
    point = KEY.public_key().public_numbers().x.to_bytes(32, "big")
    other = generate_key().public_key().public_numbers()
    ours = KEY.public_key().public_numbers().y.to_bytes(32, "big")
    der = der_of(OURS).replace(point, other.x.to_bytes(32, "big"))
    der = der.replace(ours, other.y.to_bytes(32, "big"))
    assert refused(pem_of(der)).code == "csr_signature"
