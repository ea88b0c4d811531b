"""Identifiers and serials."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model.ids import serial_from, uuid7

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


@given(st.binary(min_size=10, max_size=10))
def test_a_uuid7_has_version_variant_time_and_the_random_bits(random: bytes) -> None:
    made = uuid7(AT, random)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(AT.timestamp()) * 1000


def test_later_uuids_sort_later() -> None:
    times = [AT + timedelta(milliseconds=step) for step in range(100)]
    made = [uuid7(at, b"\xff" * 10) for at in times]
    assert made == sorted(set(made))


@given(st.binary(min_size=20, max_size=20))
def test_a_serial_is_positive_short_and_without_leading_zeros(random: bytes) -> None:
    serial = serial_from(random)
    assert re.fullmatch("[1-9a-f][0-9a-f]{0,39}", serial)
    assert 0 < int(serial, 16) < 1 << 159


def test_zero_is_no_serial() -> None:
    assert serial_from(bytes(20)) == "1"
    assert serial_from(b"\x80" + bytes(19)) == "1"


@pytest.mark.parametrize("length", [0, 9, 11])
def test_random_bytes_of_a_wrong_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="expected 10"):
        uuid7(AT, bytes(length))
    with pytest.raises(ValueError, match="expected 20"):
        serial_from(bytes(length))
