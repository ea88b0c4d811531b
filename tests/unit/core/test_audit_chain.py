"""The audit chain: whole, it verifies; touched anywhere, it says where."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.audit.chain import (
    FORMAT,
    GENESIS,
    Broken,
    Entry,
    Event,
    Head,
    chain,
    check_entry,
    entry_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

AT = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
EVENTS = [
    Event("grant.created", "user:maria@host", "grant/beta-tasks", {"reason": "new in git"}),
    Event("grant.activated", "peer:beta", "grant/beta-tasks", {"serial": "1f"}),
    Event("grant.revoked", "user:maria@host", "grant/beta-tasks"),
]
START = Head(0, GENESIS)
ENTRIES = chain(START, AT, EVENTS)


def verified(entries: Iterable[Entry]) -> Broken | None:
    head = START
    for entry in entries:
        if (broken := check_entry(head, entry)) is not None:
            return broken
        head = Head(entry.seq, entry.hash)
    return None


def rehashed(entry: Entry, body: str) -> Entry:
    return replace(entry, body=body, hash=entry_hash(entry.seq, entry.prev, body))


def test_a_whole_chain_verifies() -> None:
    assert verified(ENTRIES) is None
    assert [entry.seq for entry in ENTRIES] == [1, 2, 3]


def test_a_chain_goes_on_from_its_head() -> None:
    more = chain(Head(3, ENTRIES[-1].hash), AT, EVENTS[:1])
    assert verified((*ENTRIES, *more)) is None


def test_no_events_make_no_entries() -> None:
    assert chain(START, AT, []) == ()


def test_the_format_is_sixteen_bytes_and_the_hash_is_of_fixed_length_parts() -> None:
    assert len(FORMAT) == 16
    assert len(entry_hash(1, GENESIS, "{}")) == 32


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("seq", 7),
        ("at", AT + timedelta(microseconds=1)),
        ("kind", "grant.created "),
        ("actor", "user:mallory@host"),
        ("subject", "grant/other"),
        ("body", ENTRIES[1].body.replace("1f", "2f")),
        ("prev", bytes(32)),
        ("hash", bytes(32)),
    ],
)
def test_a_change_of_any_column_is_found_at_its_row(column: str, value: Any) -> None:
    touched = replace(ENTRIES[1], **{column: value})
    broken = verified((ENTRIES[0], touched, ENTRIES[2]))
    assert broken is not None
    assert broken.seq == touched.seq


def test_a_missing_entry_is_found() -> None:
    assert verified((ENTRIES[0], ENTRIES[2])) == Broken(3, "got seq 3, expected 2")


def test_a_missing_first_entry_is_found() -> None:
    assert verified(ENTRIES[1:]) == Broken(2, "got seq 2, expected 1")


def test_a_changed_order_is_found() -> None:
    broken = verified((ENTRIES[1], ENTRIES[0], ENTRIES[2]))
    assert broken is not None


def test_a_rewritten_entry_breaks_the_one_after_it() -> None:
    forged = rehashed(ENTRIES[1], ENTRIES[1].body.replace("1f", "2f"))
    broken = verified((ENTRIES[0], forged, ENTRIES[2]))
    assert broken == Broken(3, "prev is not the hash of the entry before")


@pytest.mark.parametrize("body", ["", "not json", "[]", "null", "[" * 100_000])
def test_a_body_that_is_no_object_is_found_not_a_crash(body: str) -> None:
    broken = check_entry(START, rehashed(ENTRIES[0], body))
    assert broken == Broken(1, "the body is not a JSON object")


def test_a_body_that_says_otherwise_than_its_columns_is_found() -> None:
    other = json.dumps({**json.loads(ENTRIES[0].body), "actor": "user:mallory@host"})
    broken = check_entry(START, rehashed(ENTRIES[0], other))
    assert broken == Broken(1, "column 'actor' differs from the body")


def test_the_same_moment_in_another_zone_verifies() -> None:
    elsewhere = replace(ENTRIES[0], at=AT.astimezone(timezone(timedelta(hours=2))))
    assert check_entry(START, elsewhere) is None
