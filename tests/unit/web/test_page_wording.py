"""What pages say in words, and what they draw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from reconciler.core.model.times import distance
from reconciler.web.private.pages.charts import CALENDAR_DAYS, calendar, ends_by_day, time_line
from reconciler.web.private.pages.wording import issuance_steps, scope_sentences

NOW: Final = "2026-11-28T12:00:00Z"


def record(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    return {"seq": seq, "at": at, "kind": kind, "actor": "worker:alpha", "data": data}


STORY: Final = (
    record(1, "grant.created"),
    record(2, "token.minted", token="t1", lifeS=3600, voided=0),
    record(3, "token.minted", token="t2", lifeS=3600, voided=1),
    record(4, "issuance.begun", serial="aa", token="t2", address="192.0.2.1"),
    record(5, "certificate.issued", serial="aa", notAfter="2026-11-29T00:00:00Z", supersedes=[]),
    record(6, "issuance.begun", serial="bb", renews="aa", address="192.0.2.1"),
    record(7, "certificate.issued", serial="bb", notAfter="2026-11-30T00:00:00Z", supersedes=["a"]),
    record(8, "grant.revoked", reason="removed from git"),
    record(9, "certificate.revoked_at_ca", serial="aa", status="revoked"),
    record(10, "certificate.revoked_at_ca", serial="bb", status="revoked"),
)


def test_the_steps_of_an_issuance_begin_with_its_invitation_and_end_at_the_ca() -> None:
    steps = issuance_steps("aa", STORY)
    assert [(each["seq"], each["text"]) for each in steps] == [
        (3, "An invitation with the token t2 was made, valid for 1h."),
        (4, "The peer requested a certificate with the token t2, from 192.0.2.1."),
        (5, "The CA signed it, valid until 2026-11-29T00:00:00Z."),
        (8, "The grant was revoked: removed from git."),
        (9, "The CA has revoked it."),
    ]


def test_a_renewal_names_what_it_renews_and_supersedes() -> None:
    first, second, *_ = issuance_steps("bb", STORY)
    assert first["text"] == "The peer requested a certificate to renew aa, from 192.0.2.1."
    assert second["text"].endswith("It supersedes a.")


def test_a_record_of_an_earlier_version_is_told_by_its_kind() -> None:
    (step,) = issuance_steps("aa", [record(1, "issuance.begun", serial="aa")])
    assert step["text"] == "issuance.begun"
    assert issuance_steps("cc", STORY) == []


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        ({}, "May list and get tasks of every team and of maria personally."),
        (
            {"filter": {"teams": ["b", "a"]}},
            "May list and get tasks of the teams a, b and of maria",
        ),
        ({"filter": {"personal": False}}, "May list and get tasks of every team."),
        ({"filter": {"teams": []}}, "May list and get tasks of maria personally."),
        (
            {"filter": {"teams": [], "personal": False}},
            "No tasks: the filter lets nothing through.",
        ),
    ],
)
def test_a_scope_is_told_in_plain_words(resource: dict[str, Any], sentence: str) -> None:
    whole = {"type": "tasks", "verbs": ["list", "get"], **resource}
    first, rows = scope_sentences({"resources": [whole], "maxRowsPerQuery": 1}, "maria")
    assert first.startswith(sentence)
    assert rows == "One query returns at most 1 row."


def test_the_calendar_has_every_day_and_the_first_names_of_each() -> None:
    ending = [
        {"kind": "grant", "name": f"g{number}", "ends": "2026-12-01T08:00:00Z", "withinDays": 7}
        for number in range(9)
    ]
    (day,) = ends_by_day(ending)
    assert (day["date"], day["count"], len(day["ends"])) == ("2026-12-01", 9, 5)

    days = calendar(NOW, [day])
    assert len(days) == CALENDAR_DAYS
    assert (days[0].day.isoformat(), days[0].column) == ("2026-11-28", 6)
    assert [each.day.isoformat() for each in days if each.ends] == ["2026-12-01"]


def test_a_record_that_is_not_of_its_kind_is_shown_by_its_kind() -> None:
    wrong = record(5, "certificate.issued", serial="aa", notAfter=5, supersedes=5)
    minted = record(3, "token.minted", token="t2", lifeS="long")
    steps = issuance_steps("aa", (minted, STORY[3], wrong))
    assert [each["text"] for each in steps][::2] == ["token.minted", "certificate.issued"]


def test_the_time_line_spans_all_certificates_and_now() -> None:
    old = {"notBefore": "2026-11-27T12:00:00Z", "notAfter": "2026-11-28T12:00:00Z"}
    new = {"notBefore": "2026-11-28T00:00:00Z", "notAfter": "2026-11-29T12:00:00Z"}
    line = time_line([old, new], NOW)
    assert line is not None
    assert (line.first, line.last, line.now_x) == (old["notBefore"], new["notAfter"], 50.0)
    assert [(bar.certificate, bar.x, bar.width) for bar in line.bars] == [
        (new, 25.0, 75.0),
        (old, 0.0, 50.0),
    ]
    assert time_line([], NOW) is None


def test_a_distance_is_in_its_largest_unit() -> None:
    assert distance(timedelta(days=3, hours=5)) == "in 3d"
    assert distance(timedelta(seconds=-7300)) == "2h ago"
    assert distance(timedelta()) == "in 0s"
