"""Waits that double, and have a last."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model.backoff import Backoff

BACKOFF = Backoff(timedelta(seconds=2), timedelta(minutes=1))


def test_a_wait_doubles_until_it_is_the_last() -> None:
    seconds = [BACKOFF.wait(failures).total_seconds() for failures in range(8)]
    assert seconds == [2, 4, 8, 16, 32, 60, 60, 60]


@given(failures=st.integers(0, 10**9), jitter=st.floats(0, 1))
def test_jitter_takes_at_most_a_half_off(failures: int, jitter: float) -> None:
    whole = BACKOFF.wait(failures)
    assert whole / 2 <= BACKOFF.wait(failures, jitter) <= whole <= BACKOFF.last


def test_failures_of_years_are_no_overflow() -> None:
    assert Backoff(timedelta(hours=1), timedelta(days=1)).wait(10**9) == timedelta(days=1)
