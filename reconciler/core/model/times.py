"""Times and durations as text: RFC 3339 in UTC, and `24h`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from reconciler.core.model.text import shown

_REMEMBERED: Final = 1024  # texts: many manifests have the same few times and durations

_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_DURATION: Final = re.compile(
    r"(?=.)(?:[0-9]{1,6}d)?(?:[0-9]{1,6}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,6}s)?", re.ASCII
)
_DURATION_PART: Final = re.compile(r"([0-9]+)([smhd])", re.ASCII)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MINUTES: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]{1,9})?)?"
    r" ?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def rfc3339(at: datetime) -> str:
    """Return `at` in UTC as RFC 3339; fractions of a second only where there are any."""
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)  # as the database's are
    return f"{in_utc.isoformat()[:-6]}Z"


@lru_cache(_REMEMBERED)
def parse_rfc3339(text: str) -> datetime:
    """Return the UTC time that `text` names (RFC 3339 5.6); raise `ValueError` otherwise.

    An offset is required: a time without one means another moment at each reader.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError(
            f"got {shown(text)}, expected an RFC 3339 time such as 2027-06-30T00:00:00Z"
        )
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"got {shown(text)}, which is not a calendar time: {error}") from None


def parse_moment(text: str) -> datetime | timedelta:
    """Return a time in UTC, or how long ago one is, from what people type.

    Taken are RFC 3339, with a space for the `T` and without seconds too; a date alone, which is its
    first moment in UTC; and a duration (`2h`, `2h ago`). A time of day needs its offset.

    Raises:
        ValueError: it is none of these.
    """
    word = text.strip()
    if _DATE.fullmatch(word):
        return parse_rfc3339(f"{word}T00:00:00Z")
    if minutes := _MINUTES.fullmatch(word):
        seconds, offset = minutes[3] or ":00", minutes[4]
        return parse_rfc3339(f"{minutes[1]}T{minutes[2]}{seconds}{offset}")
    try:
        return parse_duration(word.removesuffix("ago").strip())
    except ValueError:
        raise ValueError(
            f"got {shown(text)}, expected a time with its offset such as 2026-11-25T10:00:00Z,"
            " a date (its first moment in UTC), or 2h for two hours ago"
        ) from None


@lru_cache(_REMEMBERED)
def parse_duration(text: str) -> timedelta:
    """Return the duration of `text` (`90s`, `24h`, `1h30m`), units from large to small, each once.

    Raises `ValueError` for any other text.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"got {shown(text)}, expected a duration such as 5m, 24h or 7d")
    parts = _DURATION_PART.findall(text)
    return sum((int(count) * _UNITS[unit] for count, unit in parts), timedelta())


@lru_cache(_REMEMBERED)
def format_duration(duration: timedelta) -> str:
    """Return `duration` in its shortest exact form: `24h`, `7d`, `1h30m`; whole seconds.

    One day is written `24h`, as people write a certificate's lifetime.
    """
    rest = int(duration.total_seconds())
    if rest > 86400 and rest % 86400 == 0:
        return f"{rest // 86400}d"
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def distance(left: timedelta) -> str:
    """Return how far away a time is: `in 3d`, `2h ago`; `left` is negative if it has passed."""
    seconds = int(abs(left).total_seconds())
    for unit, size in (("y", 31_536_000), ("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            count = f"{seconds // size}{unit}"
            break
    else:
        count = f"{seconds}s"
    return f"{count} ago" if left < timedelta() else f"in {count}"
