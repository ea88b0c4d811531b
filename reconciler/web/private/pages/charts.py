"""What is drawn: what ends soon as the days of a calendar, and certificates on a time line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CALENDAR_DAYS: Final = 31  # today and what `status` looks ahead
MAX_OF_A_DAY: Final = 5  # names that are shown
ROW_HEIGHT: Final = 26  # of a certificate, in CSS pixels


def ends_by_day(ending: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the days on which something ends, of the sorted `ending` of a status document."""
    days = []
    for day, group in groupby(ending, key=lambda each: each["ends"][:10]):
        objects = [{name: each[name] for name in ("kind", "name", "ends")} for each in group]
        days.append({"date": day, "count": len(objects), "ends": objects[:MAX_OF_A_DAY]})
    return days


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day of the calendar; `column` is that of its weekday, from 1 for Monday on."""

    day: date
    ends: Mapping[str, Any] | None

    @property
    def column(self) -> int:
        """The column of the week."""
        return self.day.isoweekday()


def calendar(now: str, days: Sequence[Mapping[str, Any]]) -> list[CalendarDay]:
    """Return every day from the one of `now` on, each with what ends on it."""
    first, by_date = datetime.fromisoformat(now).date(), {each["date"]: each for each in days}
    dates = [first + timedelta(days=number) for number in range(CALENDAR_DAYS)]
    return [CalendarDay(each, by_date.get(each.isoformat())) for each in dates]


@dataclass(frozen=True, slots=True)
class Bar:
    """A certificate on the time line: left edge and width in percent, top edge in pixels."""

    certificate: Mapping[str, Any]
    x: float
    width: float
    y: int


@dataclass(frozen=True, slots=True)
class TimeLine:
    """Certificates by time, the newest at the top; `now_x` is in percent."""

    first: str
    last: str
    now_x: float
    bars: tuple[Bar, ...]

    @property
    def height(self) -> int:
        """The height of all bars, in pixels."""
        return ROW_HEIGHT * len(self.bars)


def time_line(certificates: Sequence[Mapping[str, Any]], now: str) -> TimeLine | None:
    """Return the time line of the certificates of a grant document; None if there are none."""
    if not certificates:
        return None
    moments = [each[end] for each in certificates for end in ("notBefore", "notAfter")]
    times = [datetime.fromisoformat(each) for each in (*moments, now)]
    start, end = min(times), max(times)
    span_s = max((end - start).total_seconds(), 1.0)

    def percent(moment: str) -> float:
        return round((datetime.fromisoformat(moment) - start).total_seconds() / span_s * 100, 2)

    def bars() -> Iterator[Bar]:
        for number, each in enumerate(reversed(certificates)):
            x = percent(each["notBefore"])
            width = max(percent(each["notAfter"]) - x, 0.5)
            yield Bar(each, min(x, 99.5), width, number * ROW_HEIGHT)

    ends = sorted((*moments, now), key=datetime.fromisoformat)
    return TimeLine(ends[0], ends[-1], percent(now), tuple(bars()))
