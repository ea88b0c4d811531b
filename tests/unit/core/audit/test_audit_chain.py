"""The audit chain: whole, it verifies; touched anywhere, it says where."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.audit.certificate_events import CertificateRequeued
from reconciler.core.audit.chain import (
    FORMAT,
    GENESIS,
    ChainBreak,
    Head,
    Record,
    chain,
    check_record,
    check_records,
    record_hash,
)
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.audit.row_events import GrantRevoked, GrantSuspended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.audit.events import Event

AT = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
ACTOR = "user:maria@host"
LOGIN = "mosaic_operator"
GRANT = grant_ref("1", "beta-tasks")
EVENTS: list[Event] = [
    GrantSuspended(GRANT, "for now"),
    CertificateRequeued(GRANT, "1f", "the CA's list lacks it"),
    GrantRevoked(GRANT, "no longer in git"),
]
START = Head(0, GENESIS)
RECORDS = chain(START, AT, ACTOR, EVENTS, login=LOGIN)


def verified(records: Sequence[Record]) -> ChainBreak | None:
    """Verify records one by one, and as many at once: both say the same."""
    head = START
    for count, record in enumerate(records):
        if (broken := check_record(head, record)) is not None:
            assert check_records(START, records) == (count, broken)
            return broken
        head = Head(record.seq, record.hash)
    assert check_records(START, records) == (len(records), None)
    return None


def rehashed(record: Record, body: str) -> Record:
    return record._replace(body=body, hash=record_hash(record.seq, record.prev, body))


def test_a_whole_chain_verifies() -> None:
    assert verified(RECORDS) is None
    assert [record.seq for record in RECORDS] == [1, 2, 3]


def test_a_chain_goes_on_from_its_head() -> None:
    more = chain(Head(3, RECORDS[-1].hash), AT, ACTOR, EVENTS[:1], login=LOGIN)
    assert verified((*RECORDS, *more)) is None


def test_no_events_make_no_entries() -> None:
    assert chain(START, AT, ACTOR, [], login=LOGIN) == ()


def test_the_format_is_sixteen_bytes_and_the_hash_is_of_fixed_length_parts() -> None:
    assert len(FORMAT) == 16
    assert len(record_hash(1, GENESIS, "{}")) == 32


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("seq", 7),
        ("at", AT + timedelta(microseconds=1)),
        ("kind", "certificate.requeued "),
        ("actor", "user:mallory@host"),
        ("subject", "grant/other"),
        ("body", RECORDS[1].body.replace("1f", "2f")),
        ("prev", bytes(32)),
        ("hash", bytes(32)),
    ],
)
def test_a_change_of_any_column_is_found_at_its_row(column: str, value: Any) -> None:
    touched = RECORDS[1]._replace(**{column: value})
    broken = verified((RECORDS[0], touched, RECORDS[2]))
    assert broken is not None
    assert broken.seq == touched.seq


def test_a_missing_entry_is_found() -> None:
    assert verified((RECORDS[0], RECORDS[2])) == ChainBreak(3, "got seq 3, expected 2")


def test_a_missing_first_entry_is_found() -> None:
    assert verified(RECORDS[1:]) == ChainBreak(2, "got seq 2, expected 1")


def test_a_changed_order_is_found() -> None:
    broken = verified((RECORDS[1], RECORDS[0], RECORDS[2]))
    assert broken is not None


def test_a_rewritten_entry_breaks_the_one_after_it() -> None:
    forged = rehashed(RECORDS[1], RECORDS[1].body.replace("1f", "2f"))
    broken = verified((RECORDS[0], forged, RECORDS[2]))
    assert broken == ChainBreak(3, "prev is not the hash of the record before")


@pytest.mark.parametrize("body", ["", "not json", "[]", "null", "[" * 100_000])
def test_a_body_that_is_no_object_is_found_not_a_crash(body: str) -> None:
    broken = verified([rehashed(RECORDS[0], body)])
    assert broken == ChainBreak(1, "the body is not a JSON object")


def test_a_body_that_says_otherwise_than_its_columns_is_found() -> None:
    other = json.dumps({**json.loads(RECORDS[0].body), "actor": "user:mallory@host"})
    broken = verified([rehashed(RECORDS[0], other)])
    assert broken == ChainBreak(1, "column 'actor' differs from the body")


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ('"kind"', '"actor":"user:mallory@host","kind"', "column 'actor' differs from the body"),
        ('"seq":1', '"seq":1.0', None),  # equal to JSON, if not to every reader of it
        ('"seq":1', '"seq":01', "the body is not a JSON object"),
        ('"reason":"', '"reason":"\\ud800', None),
        ('"reason":"', '"reason":"\t', "the body is not a JSON object"),
        ('"reason":', '"more":NaN,"reason":', None),
        ('"id"', '"more":[1,],"id"', "the body is not a JSON object"),
    ],
)
def test_a_body_in_an_unusual_form_is_judged_by_what_it_says(
    old: str, new: str, broken: str | None
) -> None:
    assert old in RECORDS[0].body
    unusual = rehashed(RECORDS[0], RECORDS[0].body.replace(old, new))
    assert verified([unusual]) == (ChainBreak(1, broken) if broken else None)


def test_the_same_moment_in_another_zone_verifies() -> None:
    elsewhere = RECORDS[0]._replace(at=AT.astimezone(timezone(timedelta(hours=2))))
    assert verified([elsewhere]) is None
