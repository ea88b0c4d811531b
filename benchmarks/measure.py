"""How a figure is taken: both sides in turn, several times, and the ratio of their medians."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """One row: seconds of ours and of the floor, medians of `ROUNDS`, and what each did."""

    name: str
    floor: str
    ours_s: float
    floor_s: float

    @property
    def ratio(self) -> float:
        """How many times the floor ours takes."""
        return self.ours_s / self.floor_s

    def as_json(self) -> dict[str, str | float]:
        """Return the document of the figure."""
        return {
            "name": self.name,
            "floor": self.floor,
            "oursSeconds": round(self.ours_s, 4),
            "floorSeconds": round(self.floor_s, 4),
            "ratio": round(self.ratio, 3),
        }

    def __str__(self) -> str:
        return (
            f"{self.name:<44} {self.ours_s * 1000:10.1f} ms {self.ratio:7.2f} x"
            f"  {self.floor} ({self.floor_s * 1000:.1f} ms)"
        )


def compare(
    name: str,
    ours: Callable[[T], object],
    floor: str,
    other: Callable[[T], object],
    prepare: Callable[[], T],
) -> Figure:
    """Return the figure of `ours` against `other`, run in turn after one run of each.

    Both get what `prepare` returns, made anew for each run and outside of its time.
    """
    ours(prepare())
    other(prepare())
    taken = [(_seconds(ours, prepare()), _seconds(other, prepare())) for _ in range(ROUNDS)]
    ours_s = statistics.median(each[0] for each in taken)
    return Figure(name, floor, ours_s, statistics.median(each[1] for each in taken))


def _seconds(run: Callable[[T], object], prepared: T) -> float:
    began = time.perf_counter()
    run(prepared)
    return time.perf_counter() - began
