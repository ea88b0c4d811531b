"""Whole processes, as a user feels them: processor time, wall time and peak memory of a command."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROUNDS: Final = 5
# modules are compiled once, as they are where they were installed, and not by each command
_ENVIRON: Final = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
MOSAIC: Final = (str(Path(sys.executable).with_name("mosaic")), "federation")


@dataclass(frozen=True)
class Usage:
    """What one process, and those that it waited for, took: seconds and MiB.

    Before it runs its program it is a copy of ours: `peak_mib` reads no lower than our own peak.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True)
class Commands:
    """Commands of one folder and environment."""

    folder: Path
    environ: Mapping[str, str]

    def run(self, argv: Sequence[str]) -> Usage:
        """Run a command to its end; it must succeed."""
        began_s = time.perf_counter()
        with subprocess.Popen(
            argv,
            cwd=self.folder,
            env=_ENVIRON | dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began_s
        assert process.returncode == 0, (argv, process.returncode)
        return Usage(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def mosaic(self, *words: str) -> Usage:
        """Run a verb."""
        return self.run([*MOSAIC, *words])


@dataclass(frozen=True)
class Pairs:
    """A command against a floor or a peer that ran in turn with it."""

    name: str
    floor: str
    ours: tuple[Usage, ...]
    others: tuple[Usage, ...]

    def ratios(self, of: str) -> list[float]:
        """Return the ratio of each pair, by `wall_s` or `cpu_s`."""
        return [
            getattr(ours, of) / getattr(other, of)
            for ours, other in zip(self.ours, self.others, strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the document of the figure."""
        return {
            "name": self.name,
            "floor": self.floor,
            **{
                f"{side}{quantity}": round(_median(usages, attribute), 4)
                for side, usages in (("ours", self.ours), ("floor", self.others))
                for quantity, attribute in (
                    *(("WallSeconds", "wall_s"), ("CpuSeconds", "cpu_s")),
                    ("PeakMiB", "peak_mib"),
                )
            },
            "wallRatios": sorted(round(each, 3) for each in self.ratios("wall_s")),
            "cpuRatios": sorted(round(each, 3) for each in self.ratios("cpu_s")),
        }

    def __str__(self) -> str:
        wall, cpu = self.ratios("wall_s"), self.ratios("cpu_s")
        return (
            f"{self.name:<44} {_median(self.ours, 'wall_s') * 1000:8.0f} ms"
            f" {statistics.median(wall):6.2f} x ({min(wall):.2f} to {max(wall):.2f});"
            f" cpu {_median(self.ours, 'cpu_s') * 1000:6.0f} ms"
            f" {statistics.median(cpu):6.2f} x ({min(cpu):.2f} to {max(cpu):.2f});"
            f" {_median(self.ours, 'peak_mib'):4.0f} MiB"
            f"  {self.floor} ({_median(self.others, 'wall_s') * 1000:.0f} ms)"
        )


def _median(usages: Sequence[Usage], of: str) -> float:
    values: list[float] = [getattr(each, of) for each in usages]
    return statistics.median(values)


def pair(
    name: str,
    ours: Callable[[], Usage],
    floor: str,
    other: Callable[[], Usage],
    rounds: int = ROUNDS,
) -> Pairs:
    """Return the figure of `ours` against `other`, run in turn after one run of each."""
    ours()
    other()
    taken = [(ours(), other()) for _ in range(rounds)]
    return Pairs(name, floor, tuple(each for each, _ in taken), tuple(each for _, each in taken))
