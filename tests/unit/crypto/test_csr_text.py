"""The text in which a CSR is sent: what may surround its one block, and what crashes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.crypto.csr import MAX_CSR_DER, read_csr
from reconciler.crypto.keys import spki_sha256
from reconciler.errors import Refused
from tests.support.csrs import (
    BEGIN,
    END,
    KEY,
    OURS,
    der_of,
    openssl_csr,
    pem_of,
    refused,
    sample,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["gnutls", "openssl-text", "utf8bom"])
def test_text_around_the_block_is_read_over(name: str) -> None:
    assert read_csr(sample(name)).facts.common_names == ("beta",)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("sha1", "csr_signature", "the CSR is signed with SHA1, expected SHA-256"),
        ("rsa-pss", "csr_key", "RSA-PSS keys are not accepted"),
        (
            "rsa-pss-long-salt",
            "csr_signature",
            "the CSR is signed with RSA-PSS and a salt of 350 octets, expected 32",
        ),
        (
            "printable-string",
            "csr_names",
            "the CSR's subject has text that is not of the string type that it is declared as",
        ),
    ],
)
def test_a_refusal_names_its_own_reason(name: str, code: str, message: str) -> None:
    error = refused(sample(name))
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize("label", ["PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])
def test_a_private_key_beside_the_csr_is_out(label: str) -> None:
    error = refused(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n{OURS}")
    assert error.code == "csr_malformed"
    assert "consider it stolen" in error.message
    assert "new key" in error.hint


def test_the_old_label_of_openssl_is_accepted(tmp_path: Path) -> None:
    csr = openssl_csr(tmp_path, "-subj", "/", "-newhdr")
    assert "BEGIN NEW CERT" in csr
    read_csr(csr)


@pytest.mark.parametrize(
    ("before", "after"), [("\n ", "\n\n"), ("\ufeff", ""), ("words\n", "more"), ("\0", "-----")]
)
def test_text_around_and_crlf_are_accepted(before: str, after: str) -> None:
    read_csr(before + OURS.replace("\n", "\r\n") + after)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        OURS + OURS,
        OURS.replace("REQUEST-----\n", "REQUEST-----\n!"),
        OURS.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
        OURS.replace("BEGIN CERT", "BEGIN NEW CERT"),
        OURS[: len(OURS) // 2],
        f"{BEGIN}\n{END}",
        f"{BEGIN}\nAA=A\n{END}",
        f"{BEGIN}\nAAAA\n{END}",
        pem_of(der_of(OURS) + b"\0"),
        pem_of(der_of(OURS)[:-1]),
        OURS.replace("M", "\ud800", 1),
    ],
)
def test_what_is_not_one_whole_block_is_malformed(text: str) -> None:
    assert refused(text).code == "csr_malformed"


def test_more_than_4_kib_of_der_is_too_large() -> None:
    error = refused(pem_of(bytes(MAX_CSR_DER + 1)))
    assert (error.code, error.outcome.status) == ("csr_too_large", 413)
    assert refused(pem_of(bytes(MAX_CSR_DER))).code == "csr_malformed"
    assert refused(f"{BEGIN}\n{'A' * 1_000_000}\n{END}").code == "csr_too_large"


@pytest.mark.parametrize("filler", ["\n", " ", "A", "A\n", "=", "-", "-----BEGIN "])
def test_a_hostile_text_is_refused_in_no_time(filler: str) -> None:
    began = time.thread_time()
    refused(BEGIN + filler * (16 * 1024 // len(filler)))
    refused((BEGIN + "\n" * 100) * 100)
    assert time.thread_time() - began < 0.5


@given(st.integers(0, len(der_of(OURS)) - 1), st.integers(1, 255))
def test_no_altered_byte_crashes_or_is_taken_for_the_key(place: int, change: int) -> None:
    der = bytearray(der_of(OURS))
    der[place] ^= change
    try:
        verified = read_csr(pem_of(bytes(der)))
    except Refused as error:
        assert error.code.startswith("csr_")  # noqa: PT017 - either outcome is checked
    else:
        assert verified.spki_sha256 == spki_sha256(KEY.public_key())


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(der: bytes) -> None:
    assert refused(pem_of(der)).code == "csr_malformed"
