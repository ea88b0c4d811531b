"""Times and durations as text, and text as it may be shown."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model.text import json_text, printable, shown
from reconciler.core.model.times import (
    format_duration,
    parse_duration,
    parse_moment,
    parse_rfc3339,
    rfc3339,
)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_reads_back(at: datetime) -> None:
    assert parse_rfc3339(rfc3339(at)) == at


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2027-06-30T00:00:00Z", "2027-06-30T00:00:00Z"),
        ("2027-06-30t00:00:00z", "2027-06-30T00:00:00Z"),
        ("2027-06-30T02:00:00+02:00", "2027-06-30T00:00:00Z"),
        ("2027-06-29T18:30:00-05:30", "2027-06-30T00:00:00Z"),
        ("2027-06-30T00:00:00.25Z", "2027-06-30T00:00:00.250000Z"),
        ("2027-06-30T00:00:00.123456789Z", "2027-06-30T00:00:00.123456Z"),
    ],
)
def test_an_offset_is_understood(text: str, utc: str) -> None:
    assert rfc3339(parse_rfc3339(text)) == utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027-06-30",
        "2027-06-30T00:00:00",
        "2027-06-30 00:00:00Z",
        "2027-06-30T00:00Z",
        "2027-06-31T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-06-30T24:00:00Z",
        "2027-06-30T23:59:60Z",
        "2027-06-30T00:00:00+24:00",
        "0001-01-01T00:00:00+12:00",
        "9999-12-31T23:59:59-12:00",
        "2027-06-30T00:00:00Z\n",
        "٢٠٢٧-06-30T00:00:00Z",
        "tomorrow",
    ],
)
def test_what_is_no_time_with_an_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^got \""):
        parse_rfc3339(text)


@given(st.integers(1, 7 * 86400))
def test_a_duration_reads_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("24h", 86400), ("1h30m", 5400), ("7d", 604800), ("1d12h", 129600)],
)
def test_a_duration_is_understood(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "24", "h", "1.5h", "-1h", "1h ", "1H", "1w", "30m1h", "1h1h", "1000000s", "٣h"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 5m, 24h or 7d"):
        parse_duration(text)


def test_a_very_long_duration_text_is_refused_quickly_and_shown_short() -> None:
    with pytest.raises(ValueError, match="expected a duration") as caught:
        parse_duration("999999d" * 30_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(86400, "24h"), (172800, "2d"), (5400, "1h30m"), (0, "0s"), (61, "1m1s"), (90000, "25h")],
)
def test_a_duration_is_written_as_people_do(seconds: int, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.text())
def test_shown_text_prints_and_is_short(text: str) -> None:
    seen = shown(text)
    assert seen.isprintable()
    assert len(seen) <= 60 * 10 + 3


def test_json_shows_no_character_that_does_not_print_and_loses_none() -> None:
    low_surrogates = range(0xDC00, 0xE000)  # one after a high one is half of a character
    every = [chr(each) for each in range(sys.maxunicode + 1) if each not in low_surrogates]
    document = {"".join(every): every[::97]}
    text = json_text(document, indent=2)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == document


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, ünicode", "plain, ünicode"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\x9b\u202e\ud800", "a\\nb\\x9b\\u202e\\ud800"),
        ("a" * 61, "a" * 60 + "…"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, seen: str) -> None:
    assert printable(text) == seen


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-28", "2026-11-28T00:00:00Z"),
        (" 2026-11-28 ", "2026-11-28T00:00:00Z"),
        ("2026-11-28T10:00:00Z", "2026-11-28T10:00:00Z"),
        ("2026-11-28 10:00:00Z", "2026-11-28T10:00:00Z"),
        ("2026-11-28 10:00Z", "2026-11-28T10:00:00Z"),
        ("2026-11-28 10:00 Z", "2026-11-28T10:00:00Z"),
        ("2026-11-28t10:00:00.5z", "2026-11-28T10:00:00.500000Z"),
        ("2026-11-28 12:00:00+02:00", "2026-11-28T10:00:00Z"),
        ("2026-11-28T04:30-05:30", "2026-11-28T10:00:00Z"),
    ],
)
def test_a_moment_is_a_date_or_a_time_with_its_offset(text: str, moment: str) -> None:
    read = parse_moment(text)
    assert isinstance(read, datetime)
    assert rfc3339(read) == moment


@pytest.mark.parametrize("text", ["2h", "2h ago", "120m", " 2h "])
def test_a_moment_may_be_so_long_ago(text: str) -> None:
    assert parse_moment(text) == timedelta(hours=2)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ago", "2026", "2026-11", "2026-11-31", "2026-13-01", "0000-01-01", "28.11.2026"),
        *("2026-11-28T10:00:00", "2026-11-28 10:00", "10:00", "yesterday", "-2h", "2 hours ago"),
    ],
)
def test_no_moment_is_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="got "):
        parse_moment(text)
