"""Who may be signed for: each line of the policy, by the code a peer is told."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.core.issuance.policy import (
    LEASE,
    Approval,
    Denial,
    GrantFacts,
    IssuanceFacts,
    IssuanceResponse,
    TokenFacts,
    judge_enrollment,
    judge_pickup,
    judge_renewal,
    judge_status,
    renew_after,
)
from reconciler.core.issuance.tokens import CLAIM_LIFE, MAX_UNANSWERED
from reconciler.core.model.ids import GrantId, IssuanceId
from reconciler.core.model.states import GrantStatus, IssuanceStatus, TokenStatus
from reconciler.errors import Retry

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OURS, THEIRS = "a" * 64, "b" * 64

GRANT = GrantFacts(
    id=GrantId(uuid.UUID(int=1)),
    name="beta-tasks",
    peer="beta",
    peer_id=uuid.UUID(int=2),
    subject_user_id="maria",
    scope={},
    status=GrantStatus.PENDING,
    expires_at=NOW + 100 * HOUR,
    lifetime=24 * HOUR,
    suspended=False,
)
OPEN = TokenFacts(uuid.UUID(int=3), "x" * 16, TokenStatus.OPEN, NOW + HOUR, None, None, 0)
CLAIMED = replace(OPEN, status=TokenStatus.CLAIMED, claimed_by=OURS, claimed_at=NOW, unanswered=1)


def issuance(number: int, status: IssuanceStatus, **facts: Any) -> IssuanceFacts:
    made = IssuanceFacts(
        id=IssuanceId(uuid.UUID(int=100 + number)),
        serial=format(number, "x"),
        spki_sha256=OURS,
        status=status,
        created_at=NOW - HOUR,
    )
    if status is IssuanceStatus.ISSUED:
        facts = {
            "answer": f"answer {number}",
            "not_before": NOW - 18 * HOUR,
            "not_after": NOW + 6 * HOUR,
        } | facts
    return replace(made, **facts)


def code(verdict: object) -> str:
    assert isinstance(verdict, Denial)
    return verdict.error.code


def test_an_open_token_lets_its_first_key_sign() -> None:
    assert judge_enrollment(OPEN, GRANT, OURS, (), NOW) == Approval()


@pytest.mark.parametrize(
    ("token", "grant", "expected"),
    [
        (replace(CLAIMED, status=TokenStatus.SPENT), GRANT, "token_spent"),
        (
            replace(CLAIMED, status=TokenStatus.SPENT),
            replace(GRANT, status=GrantStatus.REVOKED),
            "token_spent",
        ),
        (OPEN, replace(GRANT, status=GrantStatus.REVOKED), "grant_ended"),
        (OPEN, replace(GRANT, status=GrantStatus.EXPIRED), "grant_ended"),
        (OPEN, replace(GRANT, expires_at=NOW + timedelta(seconds=59)), "grant_ended"),
        (replace(OPEN, status=TokenStatus.VOID), GRANT, "token_void"),
        (replace(OPEN, expires_at=NOW), GRANT, "token_expired"),
    ],
)
def test_a_token_past_use_is_refused_by_its_reason(
    token: TokenFacts, grant: GrantFacts, expected: str
) -> None:
    assert code(judge_enrollment(token, grant, OURS, (), NOW)) == expected
    refusal = judge_status(token, grant, NOW)
    assert refusal is not None
    assert refusal.code == expected


def test_another_key_on_a_claimed_token_is_a_theft_signal() -> None:
    verdict = judge_enrollment(CLAIMED, GRANT, THEIRS, (), NOW)

    assert code(verdict) == "token_claimed"
    assert isinstance(verdict, Denial)
    assert verdict.theft


def test_another_key_on_a_spent_token_is_a_theft_signal_too() -> None:
    spent = replace(CLAIMED, status=TokenStatus.SPENT)
    theirs = judge_enrollment(spent, GRANT, THEIRS, (), NOW)
    ours = judge_enrollment(spent, GRANT, OURS, (), NOW)

    assert isinstance(theirs, Denial)
    assert isinstance(ours, Denial)
    assert theirs.theft
    assert not ours.theft


def test_the_claiming_key_waits_for_its_attempt_under_way() -> None:
    waiting = issuance(1, IssuanceStatus.INTENT, lease_until=NOW + LEASE)

    verdict = judge_enrollment(CLAIMED, GRANT, OURS, (waiting,), NOW)

    assert code(verdict) == "enrollment_in_progress"


def test_the_claiming_key_goes_on_once_the_lease_has_passed() -> None:
    lost = issuance(1, IssuanceStatus.INTENT, lease_until=NOW)

    assert judge_enrollment(CLAIMED, GRANT, OURS, (lost,), NOW) == Approval(stale=lost)


def test_the_claiming_key_goes_on_after_the_token_has_expired() -> None:
    expired = replace(CLAIMED, expires_at=NOW - HOUR)

    assert judge_enrollment(expired, GRANT, OURS, (), NOW) == Approval()


@pytest.mark.parametrize(
    "token",
    [
        replace(CLAIMED, claimed_at=NOW - CLAIM_LIFE),
        replace(CLAIMED, unanswered=MAX_UNANSWERED),
    ],
)
def test_a_claim_that_has_lasted_too_long_makes_the_token_void(token: TokenFacts) -> None:
    verdict = judge_enrollment(token, GRANT, OURS, (), NOW)

    assert code(verdict) == "token_void"
    assert isinstance(verdict, Denial)
    assert verdict.void


def test_the_last_attempt_of_a_claim_is_waited_for_by_who_asks_again() -> None:
    last = issuance(10, IssuanceStatus.INTENT, lease_until=NOW + LEASE)
    token = replace(CLAIMED, unanswered=MAX_UNANSWERED)

    verdict = judge_enrollment(token, GRANT, OURS, (last,), NOW)

    assert code(verdict) == "enrollment_in_progress"
    assert isinstance(verdict, Denial)
    assert not verdict.void


def test_not_after_is_the_end_of_the_grant_where_that_comes_first() -> None:
    assert GRANT.not_after(NOW) == NOW + 24 * HOUR
    assert replace(GRANT, expires_at=NOW + HOUR).not_after(NOW) == NOW + HOUR


def test_pickup_hands_out_the_newest_answer() -> None:
    held = (issuance(2, IssuanceStatus.ISSUED), issuance(1, IssuanceStatus.REVOKED))

    assert judge_pickup(GRANT, held, NOW) == IssuanceResponse("answer 2", "2")


@pytest.mark.parametrize(
    ("status", "lease", "expected"),
    [
        (IssuanceStatus.INTENT, NOW + LEASE, "enrollment_in_progress"),
        (IssuanceStatus.INTENT, NOW, "proof_invalid"),
        (IssuanceStatus.REVOKING, None, "proof_invalid"),
        (IssuanceStatus.REVOKED, None, "proof_invalid"),
        (IssuanceStatus.ABANDONED, None, "proof_invalid"),
    ],
)
def test_pickup_of_a_key_without_a_certificate(
    status: IssuanceStatus, lease: datetime | None, expected: str
) -> None:
    held = (issuance(1, status, lease_until=lease),)

    assert code(judge_pickup(GRANT, held, NOW)) == expected


def test_pickup_of_an_ended_grant_is_gone() -> None:
    ended = replace(GRANT, status=GrantStatus.REVOKED)

    assert code(judge_pickup(ended, (issuance(1, IssuanceStatus.ISSUED),), NOW)) == "grant_ended"


def test_the_newest_certificate_renews() -> None:
    held = issuance(1, IssuanceStatus.ISSUED)

    assert judge_renewal(GRANT, OURS, THEIRS, (held,), NOW) == (held, Approval())


def test_renewal_by_another_key_before_two_thirds_of_a_life_is_early_and_no_theft() -> None:
    held = issuance(1, IssuanceStatus.ISSUED)
    due = NOW - 2 * HOUR

    verdict = judge_renewal(GRANT, OURS, THEIRS, (held,), due - timedelta(seconds=90))

    assert code(verdict) == "renewal_early"
    assert isinstance(verdict, Denial)
    assert isinstance(verdict.error, Retry)
    assert verdict.error.retry_after == timedelta(seconds=90)
    assert not verdict.theft
    assert judge_renewal(GRANT, OURS, THEIRS, (held,), due) == (held, Approval())


def test_renewal_by_the_same_new_key_gets_the_same_answer() -> None:
    held = issuance(1, IssuanceStatus.ISSUED)
    after = issuance(2, IssuanceStatus.ISSUED, spki_sha256=THEIRS, predecessor_id=held.id)

    by_the_old_key = judge_renewal(GRANT, OURS, THEIRS, (after, held), NOW - 10 * HOUR)
    by_the_new_key = judge_renewal(GRANT, THEIRS, THEIRS, (after, held), NOW - 10 * HOUR)

    assert by_the_old_key == by_the_new_key == IssuanceResponse("answer 2", "2")


def test_a_successor_that_has_expired_before_its_peer_had_it_renews_in_its_turn() -> None:
    held = issuance(1, IssuanceStatus.ISSUED, not_after=NOW - 3 * HOUR)
    lost = issuance(
        2,
        IssuanceStatus.ISSUED,
        spki_sha256=THEIRS,
        predecessor_id=held.id,
        not_after=NOW - HOUR,
    )
    again = issuance(3, IssuanceStatus.ISSUED, spki_sha256=THEIRS, predecessor_id=lost.id)

    assert judge_renewal(GRANT, OURS, THEIRS, (lost, held), NOW) == (lost, Approval())
    answered = judge_renewal(GRANT, OURS, THEIRS, (again, lost, held), NOW)
    assert answered == IssuanceResponse("answer 3", "3")
    assert code(judge_renewal(GRANT, OURS, "c" * 64, (lost, held), NOW)) == "renewal_contested"


def test_renewal_by_a_second_key_is_contested_and_a_theft_signal() -> None:
    held = issuance(1, IssuanceStatus.ISSUED)
    after = issuance(2, IssuanceStatus.ISSUED, spki_sha256=THEIRS, predecessor_id=held.id)
    waiting = replace(after, status=IssuanceStatus.INTENT, lease_until=NOW + LEASE)

    for successor in (after, waiting):
        verdict = judge_renewal(GRANT, OURS, "c" * 64, (successor, held), NOW)
        assert code(verdict) == "renewal_contested"
        assert isinstance(verdict, Denial)
        assert verdict.theft


def test_renewal_by_a_superseded_key_is_refused_and_a_theft_signal() -> None:
    newest = issuance(2, IssuanceStatus.ISSUED, spki_sha256=THEIRS)
    old = issuance(1, IssuanceStatus.REVOKED)

    verdict = judge_renewal(GRANT, OURS, "c" * 64, (newest, old), NOW)

    assert code(verdict) == "proof_invalid"
    assert isinstance(verdict, Denial)
    assert verdict.theft


def test_renewal_ends_thirty_days_after_the_certificate() -> None:
    held = issuance(1, IssuanceStatus.ISSUED)
    grant = replace(GRANT, expires_at=NOW + timedelta(days=90))
    assert held.not_after is not None
    last = held.not_after + timedelta(days=30)

    assert judge_renewal(grant, OURS, THEIRS, (held,), last) == (held, Approval())
    late = judge_renewal(grant, OURS, THEIRS, (held,), last + timedelta(seconds=1))
    assert code(late) == "proof_invalid"


def test_renewal_of_an_ended_grant_is_gone() -> None:
    ended = replace(GRANT, status=GrantStatus.EXPIRED)

    verdict = judge_renewal(ended, OURS, THEIRS, (issuance(1, IssuanceStatus.ISSUED),), NOW)

    assert code(verdict) == "grant_ended"


def test_renewal_with_the_same_key_waits_until_it_is_due() -> None:
    held = issuance(1, IssuanceStatus.ISSUED)
    assert held.not_before is not None
    assert held.not_after is not None
    due = renew_after(held.not_before, held.not_after)

    early = judge_renewal(GRANT, OURS, OURS, (held,), due - timedelta(seconds=1))

    assert early == IssuanceResponse("answer 1", "1")
    assert judge_renewal(GRANT, OURS, OURS, (held,), due) == (held, Approval())


def test_renewal_in_flight_makes_its_key_wait() -> None:
    held = issuance(1, IssuanceStatus.ISSUED)
    waiting = issuance(
        2,
        IssuanceStatus.INTENT,
        spki_sha256=THEIRS,
        predecessor_id=held.id,
        lease_until=NOW + LEASE,
    )

    verdict = judge_renewal(GRANT, OURS, THEIRS, (waiting, held), NOW)

    assert code(verdict) == "enrollment_in_progress"
