"""Serials and fingerprints, as people and tools write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.issuance.serials import parse_certificate, parse_fingerprint, parse_serial
from tests.support.manifests.spellings import (
    FINGERPRINT,
    FINGERPRINTS,
    NO_FINGERPRINTS,
    NO_SERIALS,
    SERIALS,
    numbers,
    spelled,
)


@pytest.mark.parametrize(("text", "serial"), SERIALS)
def test_a_serial_is_taken_in_every_usual_spelling(text: str, serial: str) -> None:
    assert parse_serial(text) == serial
    assert parse_certificate(text) == serial


@pytest.mark.parametrize("text", NO_SERIALS)
def test_what_is_no_serial_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="expected a serial such as"):
        parse_serial(text)


@pytest.mark.parametrize("text", FINGERPRINTS)
def test_a_fingerprint_is_taken_in_every_usual_spelling(text: str) -> None:
    assert parse_fingerprint(text) == FINGERPRINT
    assert parse_certificate(text) == FINGERPRINT


@pytest.mark.parametrize("text", NO_FINGERPRINTS)
def test_what_is_no_fingerprint_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="expected a SHA-256 fingerprint"):
        parse_fingerprint(text)


@given(numbers, st.data())
def test_every_serial_is_read_back_from_every_spelling(number: int, data: st.DataObject) -> None:
    assert parse_serial(data.draw(spelled(number))) == format(number, "x")


@given(st.text(max_size=300))
def test_nothing_but_our_form_comes_out(text: str) -> None:
    try:
        certificate = parse_certificate(text)
    except ValueError:
        return
    digits = certificate.removeprefix("sha256:")
    assert parse_certificate(certificate) == certificate
    assert digits == digits.lower()
    assert int(digits, 16) >= 0
