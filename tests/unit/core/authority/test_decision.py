"""The decision on a certificate, against a small model of what docs/authority.md says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.authority.decision import (
    AuthorityFacts,
    AuthorityReading,
    CertificateIdentity,
    Question,
    Reason,
    decide,
)
from reconciler.core.model.scope import ResourceType, Verb
from reconciler.core.model.states import GrantStatus, IssuanceStatus, PeerStatus

NOW: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)
OURS: Final = CertificateIdentity("a1", "sha256:" + "0" * 64)
SCOPE: Final[dict[str, Any]] = {
    "resources": [
        {"type": "tasks", "verbs": ["list", "get"], "filter": {"teams": ["platform"]}},
        {"type": "notes", "verbs": ["list"]},
    ],
    "maxRowsPerQuery": 500,
}
FACTS: Final = AuthorityFacts(
    certificate=OURS,
    certificate_status=IssuanceStatus.ISSUED,
    not_before=NOW - timedelta(hours=1),
    not_after=NOW + timedelta(hours=1),
    grant_id="01a210ea-a632-7271-9b1e-25760754cc22",
    grant_name="beta-tasks",
    peer_name="beta",
    subject_user_id="maria",
    scope_json=json.dumps(SCOPE),
    grant_status=GrantStatus.ACTIVE,
    expires_at=NOW + timedelta(days=1),
    peer_status=PeerStatus.ACTIVE,
)
HOLDING: Final = AuthorityReading(FACTS, NOW, holds=True)

OFFSETS: Final = st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours))
WORDS: Final = st.sampled_from([*ResourceType, *Verb, "credentials", "Tasks", "*", ""])


@st.composite
def rows(draw: st.DrawFn) -> AuthorityReading:
    made = replace(
        FACTS,
        certificate_status=draw(st.sampled_from(IssuanceStatus)),
        not_before=draw(OFFSETS),
        not_after=draw(OFFSETS),
        grant_status=draw(st.sampled_from(GrantStatus)),
        expires_at=draw(OFFSETS),
        peer_status=draw(st.sampled_from(PeerStatus)),
    )
    return AuthorityReading(made, NOW, draw(st.booleans()) and view_holds(made))


def view_holds(facts: AuthorityFacts) -> bool:
    """The column `holds`, as the view's SQL has it; `status_now` is what PostgreSQL gives."""
    return (
        facts.certificate_status == "issued"
        and facts.grant_status == "active"
        and facts.peer_status == "active"
        and facts.not_before <= NOW <= facts.not_after
    )


def model(row: AuthorityReading, question: Question | None) -> str | None:
    """Every reason that applies, and the first in the order that is promised."""
    facts = row.facts
    reasons = {
        "peer_ended": facts.peer_status in ("pending", "revoked"),
        "grant_ended": facts.grant_status in ("revoked", "expired") or facts.expires_at <= NOW,
        "grant_suspended": facts.grant_status in ("pending", "suspended"),
        "certificate_ended": not row.holds,
        "scope_denied": question is not None
        and (question.unverified_resource, question.unverified_verb)
        not in {("tasks", "list"), ("tasks", "get"), ("notes", "list")},
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


@given(rows(), st.none() | st.builds(Question, WORDS, WORDS))
def test_a_decision_is_that_of_the_model(row: AuthorityReading, question: Question | None) -> None:
    decision = decide(OURS, row, question)
    assert decision.reason == model(row, question)
    assert decision.allowed == (decision.reason is None)
    if decision.allowed:
        assert view_holds(row.facts)


@given(rows(), st.none() | st.builds(Question, WORDS, WORDS))
def test_nothing_but_the_very_certificate_of_the_row_is_known(
    row: AuthorityReading, question: Question | None
) -> None:
    for other in (replace(OURS, serial="a2"), replace(OURS, fingerprint="sha256:" + "1" * 64)):
        assert decide(other, row, question).reason is Reason.CERTIFICATE_UNKNOWN
    assert decide(OURS, None, question).reason is Reason.CERTIFICATE_UNKNOWN


def test_a_question_is_answered_with_the_filter_of_its_resource() -> None:
    tasks = decide(OURS, HOLDING, Question("tasks", "get"))
    assert tasks.filter == {"teams": ["platform"]}
    assert tasks.as_json()["resource"] == {
        "type": "tasks",
        "verbs": ["list", "get"],
        "filter": {"teams": ["platform"]},
    }
    notes = decide(OURS, HOLDING, Question("notes", "list"))
    assert notes.filter == {}
    assert notes.as_json()["resource"]["filter"] == {}
    without = decide(OURS, HOLDING)
    assert without.filter is None
    assert without.as_json()["resource"] is None


@pytest.mark.parametrize(("hours", "ends"), [(1, "certificate"), (48, "grant")])
def test_authority_ends_with_what_ends_first(hours: int, ends: str) -> None:
    facts = replace(FACTS, not_after=NOW + timedelta(hours=hours))
    assert facts.ends == (facts.not_after if ends == "certificate" else facts.expires_at)


def test_what_is_made_of_a_decision_changes_no_other_one() -> None:
    """A caller in Python may do what it likes with the documents that it gets."""
    question = Question("tasks", "list")
    decision = decide(OURS, HOLDING, question)
    before = decision.as_json()
    assert decision.facts is not None
    decision.facts.scope["resources"].clear()
    decision.as_json()["grant"]["scope"]["resources"].clear()
    assert decision.filter is not None
    decision.filter.clear()
    decision.as_json()["resource"]["filter"]["teams"].clear()
    assert decide(OURS, HOLDING, question).as_json() == before
    assert decide(OURS, HOLDING, question).filter == {"teams": ["platform"]}
