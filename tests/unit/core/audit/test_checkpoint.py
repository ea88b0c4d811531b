"""Tests for core/checkpoint: a text that says one thing, or is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.audit.checkpoint import MAX_CHECKPOINT, Checkpoint

DIGESTS = st.binary(min_size=32, max_size=32)
ONE = Checkpoint(b"\1" * 32, 7, b"\2" * 32, datetime(2026, 11, 25, 12, 0, 0, 250, UTC))


@given(DIGESTS, st.integers(1, 2**62), DIGESTS, st.datetimes(timezones=st.just(UTC)))
def test_what_is_printed_is_read_back(log: bytes, seq: int, last: bytes, at: datetime) -> None:
    made = Checkpoint(log, seq, last, at)
    assert Checkpoint.parse(made.text().encode()) == made


def test_the_text_is_one_line_that_anybody_can_read() -> None:
    assert ONE.text().count("\n") == 1
    assert json.loads(ONE.text()) == {
        "format": "mosaic-checkpoint-v1",
        "log": f"sha256:{'01' * 32}",
        "seq": 7,
        "hash": f"sha256:{'02' * 32}",
        "at": "2026-11-25T12:00:00.000250Z",
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[" * MAX_CHECKPOINT,
        b"x" * (MAX_CHECKPOINT + 1),
        b"\xff",
        ONE.text().encode() + b"\n",
        ONE.text().replace('"seq":7', '"seq":true').encode(),
        ONE.text().replace('"seq":7', '"seq":"7"').encode(),
        ONE.text().replace('"seq":7', '"seq":7,"seq":8').encode(),
        ONE.text().replace("v1", "v2").encode(),
        ONE.text().replace("sha256:02", "sha256:0").encode(),
        ONE.text().replace("2026-11-25", "2026-13-25").encode(),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"it (is not what|has 4,097 octets)"):
        Checkpoint.parse(content)
