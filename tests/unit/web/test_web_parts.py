"""The parts of the endpoint that need no server: addresses, buckets, problems."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from reconciler.core import rate_limit
from reconciler.core.rate_limit import CALLS, FAILURES, GrantLimits, RateLimiter
from reconciler.core.setting_values import RateLimit
from reconciler.errors import OUTCOMES, NeedsEdit, Refused, Retry
from reconciler.web.client_address import bucket_of, client_address
from reconciler.web.problems import problem_response, public_problem

NOW = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("what", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_is_named_by_the_address_of_its_connection(
    peer: str | None, expected: str
) -> None:
    assert client_address(peer) == expected


def test_a_bucket_holds_its_burst_and_fills_with_time() -> None:
    limiter = RateLimiter(RateLimit(per_s=2, burst=3))
    assert [limiter.wait_s("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.wait_s("b", 0.0) == 0
    assert limiter.wait_s("a", 0.25) == 0.25
    assert limiter.wait_s("a", 0.5) == 0
    assert [limiter.wait_s("a", 1000.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_what_was_let_in_elsewhere_counts_and_leaves_a_debt_of_one_burst() -> None:
    limiter = RateLimiter(RateLimit(per_s=1, burst=2))
    limiter.count("a", 0.0)
    assert [limiter.wait_s("a", 0.0) for _ in range(2)] == [0, 1]
    for _ in range(10):
        limiter.count("a", 0.0)
    assert limiter.wait_s("a", 0.0) == 3


def test_processes_that_tell_each_other_let_in_as_much_as_one() -> None:
    one, two = GrantLimits(), GrantLimits()
    one.tell, two.tell = (partial(_count, each) for each in (two, one))
    grant = UUID(int=1)
    for number in range(CALLS.burst):
        (one, two)[number % 2].admit_call(grant, live=True, now_s=0.0)
    for each in (one, two):
        with pytest.raises(Retry, match="too many requests of this grant"):
            each.admit_call(grant, live=True, now_s=0.0)
    one.ca_reached = False
    assert not two.ca_reached
    for number in range(FAILURES.burst):
        (one, two)[number % 2].note_failure(grant, 0.0)
    for each in (one, two):
        with pytest.raises(Retry, match="the last attempts of this grant failed"):
            each.admit_attempt(grant, 0.0)


def _count(limits: GrantLimits, kind: str, key: str) -> None:
    limits.count(kind, key, 0.0)


def test_a_rate_of_0_is_off() -> None:
    limiter = RateLimiter(RateLimit(0, 0))
    assert {limiter.wait_s("a", 0.0) for _ in range(1000)} == {0}


def test_an_ipv6_site_is_one_client_and_an_ipv4_address_is_one() -> None:
    assert bucket_of("2001:db8:0:1::1") == bucket_of("2001:db8:0:1:ffff::2")
    assert bucket_of("2001:db8:0:1::1") != bucket_of("2001:db8:0:2::1")
    assert bucket_of("192.0.2.1") != bucket_of("192.0.2.2")


def test_memory_is_bounded_and_the_busiest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_BUCKETS", 10)
    limiter = RateLimiter(RateLimit(per_s=1, burst=1))
    limiter.wait_s("busy", 0.0)
    for number in range(100):
        limiter.wait_s(f"192.0.2.{number}", 0.0)
        assert limiter.wait_s("busy", 0.0) > 0
    assert len(limiter._buckets) == 10


@pytest.mark.parametrize("code", sorted(OUTCOMES))
def test_a_problem_of_any_code_tells_nothing_internal(code: str) -> None:
    outcome = OUTCOMES[code]
    error = outcome.kind(code, "row 7 of postgres://secret", hint="run mosaic federation x")
    problem = public_problem(error)
    internal = outcome.status is None or outcome.status >= 500
    assert ("secret" in problem.detail) != internal
    assert problem.status != 500 or problem.code == "internal"
    waits = ("enrollment_in_progress", "renewal_early")
    waiting_helps = problem.status in (408, 429, 503) or code in waits
    assert (problem.retry_after_s is not None) == waiting_helps


def test_an_unexpected_error_is_internal() -> None:
    problem = public_problem(ValueError("secret"))
    assert (problem.code, problem.status, problem.retry_after_s) == ("internal", 500, None)
    assert "secret" not in problem.detail


def test_a_wait_is_told_in_whole_seconds_and_never_0() -> None:
    for seconds, result in ((0.0, 1), (0.2, 1), (4.1, 5)):
        error = Retry("rate_limited", "slow", retry_after=timedelta(seconds=seconds))
        assert public_problem(error).retry_after_s == result


def test_a_database_that_is_not_ours_yet_is_a_database_that_is_not_there() -> None:
    for error in (NeedsEdit("schema_missing", "no"), Retry("lock_held", "a row")):
        problem = public_problem(error)
        assert (problem.code, problem.status) == ("database_unavailable", 503)
        assert problem.retry_after_s


def test_a_contested_renewal_is_no_matter_of_waiting() -> None:
    problem = public_problem(Refused("renewal_contested", "another key"))
    response = problem_response(problem, "c", NOW)
    assert response.status_code == 409
    assert "retry-after" not in response.headers
