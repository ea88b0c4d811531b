"""The guard's numbers, at their borders."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.cli.plan.text import guard_line
from reconciler.core.model.observed import Observed
from reconciler.core.model.scope import Resource, ResourceType, Scope, Verb
from reconciler.core.model.spec import (
    Declared,
    Desired,
    Direction,
    GrantSpec,
    PeerSpec,
    SourceLocation,
)
from reconciler.core.model.spec import spec_digest as digest
from reconciler.core.plan.guard import GuardOptions, MaxRemovals, Refusal, Verdict, judge
from reconciler.core.plan.plan import plan
from tests.support.manifests.plan_model import applied
from tests.support.manifests.strategies import NOW

SCOPE = Scope((Resource(ResourceType.TASKS, frozenset({Verb.LIST})),), 100)
PEER = PeerSpec(Direction.INBOUND, "Beta")
GRANT = GrantSpec("beta", "maria", NOW + timedelta(days=30), SCOPE)
NOTHING_STATED = GuardOptions()


def source(specs: dict[int, GrantSpec], peer: PeerSpec = PEER) -> Desired:
    place = SourceLocation("a.yaml", 1)
    grants = [Declared(f"g{n:03}", spec, place, digest(spec)) for n, spec in specs.items()]
    return Desired((Declared("beta", peer, place, digest(peer)),), tuple(grants))


def judged(before: Desired, after: Desired, limits: GuardOptions = NOTHING_STATED) -> Verdict:
    rows = applied(Observed(NOW), plan(before, Observed(NOW)))
    return judge(plan(after, rows), limits)


def removal(of: int, total: int, limits: GuardOptions = NOTHING_STATED) -> Verdict:
    """Judge the removal of so many grants, of so many managed objects, the peer among them."""
    everything = dict.fromkeys(range(total - 1), GRANT)
    left = dict.fromkeys(range(of, total - 1), GRANT)
    return judged(source(everything), source(left), limits)


@pytest.mark.parametrize(
    ("removals", "total", "allowed"),
    [
        (3, 4, True),  # 75%, but no more than 3
        (4, 5, False),
        (4, 13, False),  # 30.77%
        (4, 14, True),  # 28.57%
        (6, 20, True),  # 30% exactly
        (7, 20, False),
        (30, 100, True),
        (31, 100, False),
    ],
)
def test_both_limits_must_be_exceeded(removals: int, total: int, allowed: bool) -> None:
    verdict = removal(removals, total)
    assert verdict.allowed is allowed
    assert (verdict.removals, verdict.managed) == (removals, total)


def test_the_refusal_states_count_share_limit_and_the_way_out() -> None:
    (refusal,) = removal(7, 20).refusals
    assert refusal.code == "guard_removals"
    assert refusal.message == "7 removals of 20 managed objects (35.00%), limit 30% and 3"
    assert refusal.hint == "check the source; --max-removals 7 allows it once"
    assert refusal.objects[0] == "grant/g000"
    assert refusal.summary == (
        f"{refusal.message}: grant/g000, grant/g001, grant/g002, grant/g003, grant/g004, "
        "grant/g005, grant/g006"
    )


def test_a_refusal_of_very_many_names_ten_and_counts_the_rest() -> None:
    (refusal,) = removal(500, 600).refusals
    assert len(refusal.objects) == 500
    assert refusal.summary.endswith("grant/g008, grant/g009 … and 490 more")


@pytest.mark.parametrize(
    ("text", "allowed"), [("7", True), ("6", False), ("35%", True), ("34.9%", False)]
)
def test_the_stated_exception_is_exact(text: str, allowed: bool) -> None:
    verdict = removal(7, 20, GuardOptions(MaxRemovals.parse(text)))
    assert verdict.allowed is allowed


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "many", "5 %", "%", "٣", "9" * 10])
def test_an_exception_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        MaxRemovals.parse(text)


def test_suspensions_and_replacements_count_as_removals() -> None:
    everything = dict.fromkeys(range(9), GRANT)
    changed = everything | {
        0: replace(GRANT, suspended=True),
        1: replace(GRANT, suspended=True),
        2: replace(GRANT, subject_user_id="nils"),
        3: replace(GRANT, expires_at=NOW),
    }
    verdict = judged(source(everything), source(changed))
    assert verdict.removals == 4
    assert [each.code for each in verdict.refusals] == ["guard_removals"]


def test_resuming_and_widening_are_no_removals() -> None:
    before = dict.fromkeys(range(5), replace(GRANT, suspended=True))
    assert judged(source(before), source(dict.fromkeys(range(5), GRANT))).removals == 0


def test_protection_is_judged_by_the_stored_row() -> None:
    protected = replace(GRANT, protect=True)
    (refusal,) = judged(source({0: protected}), source({})).refusals
    assert refusal.code == "guard_protected"
    assert refusal.objects == ("grant/g000",)
    assert refusal.summary == (
        "1 protected object would be removed, replaced or ended sooner"
        " (50.00% of 2 managed, limit 0): grant/g000"
    )
    dropped_and_replaced = replace(GRANT, subject_user_id="nils")
    assert not judged(source({0: protected}), source({0: dropped_and_replaced})).allowed
    assert judged(source({0: protected}), source({0: GRANT})).allowed


def test_protection_has_no_exception() -> None:
    protected = replace(GRANT, protect=True)
    limits = GuardOptions(MaxRemovals.parse("100%"), allow_empty=True)
    assert not judged(source({0: protected}), source({}), limits).allowed


def test_a_protected_grant_does_not_end_by_a_date_in_the_past() -> None:
    protected = replace(GRANT, protect=True)
    assert not judged(
        source({0: protected}), source({0: replace(protected, expires_at=NOW)})
    ).allowed


def test_a_protected_grant_does_not_end_sooner_than_was_applied() -> None:
    protected = replace(GRANT, protect=True)
    sooner = replace(protected, expires_at=protected.expires_at - timedelta(days=1))
    (refusal,) = judged(source({0: protected}), source({0: sooner})).refusals
    assert refusal.code == "guard_protected"
    assert judged(source({0: sooner}), source({0: protected})).allowed
    assert judged(source({0: GRANT}), source({0: sooner})).allowed


def test_an_end_that_was_moved_by_hand_is_put_back_though_the_grant_is_protected() -> None:
    protected = replace(GRANT, protect=True)
    declared = source({0: protected})
    there = applied(Observed(NOW), plan(declared, Observed(NOW)))
    later = replace(protected, expires_at=protected.expires_at + timedelta(days=1))
    moved = replace(there, grants=tuple(replace(row, spec=later) for row in there.grants))
    restoring = plan(declared, moved)
    assert [change.reason for change in restoring.changes] == [
        "changed by hand, and no trigger recorded who"
    ]
    assert judge(restoring, GuardOptions()).allowed


def test_a_protected_grant_may_be_suspended() -> None:
    protected = replace(GRANT, protect=True)
    assert judged(source({0: protected}), source({0: replace(protected, suspended=True)})).allowed


def test_an_empty_source_is_refused_where_managed_rows_live() -> None:
    (refusal,) = judged(source({}), Desired()).refusals
    assert refusal.code == "guard_empty"
    assert refusal.summary == (
        "the source has no manifest: 1 removal (100.00% of 1 managed, limit 0): peer/beta"
    )
    assert "--allow-empty" in refusal.hint
    assert judged(source({}), Desired(), GuardOptions(allow_empty=True)).allowed


def test_an_empty_source_is_fine_where_nothing_is_managed() -> None:
    assert judge(plan(Desired(), Observed(NOW)), GuardOptions()).allowed


def test_allow_empty_does_not_lift_the_other_limit() -> None:
    everything = source(dict.fromkeys(range(9), GRANT))
    verdict = judged(everything, Desired(), GuardOptions(allow_empty=True))
    assert [each.code for each in verdict.refusals] == ["guard_removals"]


@pytest.mark.parametrize(
    ("after", "wider"),
    [
        ({0: GRANT}, 0),
        ({0: GRANT, 1: GRANT}, 1),  # a new grant
        ({0: replace(GRANT, expires_at=NOW + timedelta(days=31))}, 1),
        ({0: replace(GRANT, expires_at=NOW + timedelta(days=29))}, 0),
        ({0: replace(GRANT, subject_user_id="nils")}, 1),  # a replacement is a new grant
        ({0: replace(GRANT, lifetime=timedelta(days=7))}, 1),
        ({0: replace(GRANT, suspended=True)}, 0),
        ({0: replace(GRANT, protect=True)}, 0),
        ({}, 0),
    ],
)
def test_whatever_grants_more_than_now_is_refused_where_that_is_asked_for(
    after: dict[int, GrantSpec], wider: int
) -> None:
    verdict = judged(source({0: GRANT}), source(after), GuardOptions(refuse_widening=True))
    assert [len(each.objects) for each in verdict.refusals] == [wider] * bool(wider)
    assert judged(source({0: GRANT}), source(after)).allowed


def test_resuming_is_a_widening() -> None:
    before = source({0: replace(GRANT, suspended=True)})
    (refusal,) = judged(before, source({0: GRANT}), GuardOptions(refuse_widening=True)).refusals
    assert refusal.summary == (
        "1 object would be granted more than now (100.00% of 1 change, limit 0): grant/g000"
    )
    assert "--refuse-widening" in refusal.hint


EMPTY = Refusal("guard_empty", "the source has no manifest", "", ())


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict(0, 0, 0.0, ()), "0 removals of 0 (0.00%), limit 30%"),
        (Verdict(1, 10_000, 0.01, ()), "1 removal of 10,000 (0.01%), limit 30%"),
        (Verdict(1, 100_000, 0.001, ()), "1 removal of 100,000 (<0.01%), limit 30%"),
        (Verdict(2, 4, 50.0, ()), "2 removals of 4 (50.00%), up to 3 are allowed"),
        (Verdict(4, 5, 80.0, (), "80%"), "4 removals of 5 (80.00%), allowed by --max-removals 80%"),
        (Verdict(2, 2, 100.0, (EMPTY,)), "2 removals of 2 (100.00%), refused"),
    ],
)
def test_the_line_of_the_guard_does_not_contradict_its_verdict(
    verdict: Verdict, expected: str
) -> None:
    assert guard_line(verdict) == f"Guard: {expected}."
