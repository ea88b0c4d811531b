"""How a figure is taken: both sides in turn, several times, and the ratio of their medians."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def __str__(self) -> str:
        return (
            f"{self.name:<44} {self.ours_s * 1000:10.1f} ms {self.ratio:7.2f} x"
            f"  {self.floor} ({self.floor_s * 1000:.1f} ms)"
        )


def compare(
    name: str, ours: Callable[[], object], floor: str, other: Callable[[], object]
) -> Figure:
    """Return the figure of `ours` against `other`, run in turn after one run of each."""
    ours()
    other()
    taken = [(_seconds(ours), _seconds(other)) for _ in range(ROUNDS)]
    ours_s = statistics.median(each[0] for each in taken)
    return Figure(name, floor, ours_s, statistics.median(each[1] for each in taken))


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
