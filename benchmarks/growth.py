"""How cost grows: each command at 1,000, 10,000 and 100,000 grants, its exponent, and a plot.

An exponent of 1 is linear. It is fitted to the processor time of the command above that of its
start, which is what it takes with one grant.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.plans import FLOOR, gateway, make_warm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.processes import Usage

SIZES: Final = (1, 1_000, 10_000, 100_000)
ROUNDS: Final = 3  # but of the first apply
SEEN: Final = 0.2  # of the start: what is above it by less may be its spread
PLOT: Final = Path(__file__).parents[1] / "docs" / "growth.svg"
VERBS: Final = {
    "plan, cold": ("plan", "--verify", "manifests"),
    "plan, warm": ("plan", "manifests"),
    "first apply": (),
    "grant list": ("grant", "list", "--output", "json"),
    "audit verify": ("audit", "verify"),
    "floor of a plan": (),  # which grows as the machine's caches make it
}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 360, 60, 320
_COLOURS: Final = ("#b3432b", "#1f6f8b", "#8a6d1a", "#5b4a8a", "#2f7d4f", "#777")


@dataclass(frozen=True)
class Growth:
    """What one command takes at each size: processor seconds and MiB, medians."""

    name: str
    usages: dict[int, Usage]

    @property
    def exponent(self) -> float:
        """The slope of the logarithms, by least squares, of what is not lost in the start's own."""
        base_s = self.usages[SIZES[0]].cpu_s
        above_s = {size: self.usages[size].cpu_s - base_s for size in SIZES[1:]}
        points = [
            (math.log(size), math.log(each_s))
            for size, each_s in above_s.items()
            if each_s > base_s * SEEN
        ]
        mean_x, mean_y = (sum(each) / len(points) for each in zip(*points, strict=True))
        slope: float = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum(
            (x - mean_x) ** 2 for x, _ in points
        )
        return slope

    def as_json(self) -> dict[str, Any]:
        """Return the document of the figure."""
        return {
            "name": self.name,
            "exponent": round(self.exponent, 3),
            "cpuSeconds": {str(size): round(each.cpu_s, 3) for size, each in self.usages.items()},
            "wallSeconds": {str(size): round(each.wall_s, 3) for size, each in self.usages.items()},
            "peakMiB": {str(size): round(each.peak_mib) for size, each in self.usages.items()},
        }

    def __str__(self) -> str:
        sizes = "  ".join(
            f"{size:,}: {each.cpu_s:.2f} s {each.peak_mib:.0f} MiB"
            for size, each in self.usages.items()
        )
        return f"{self.name:<14} exponent {self.exponent:.2f}  {sizes}"


def figures() -> Iterator[Growth]:
    """Yield the figures of this subject, and write the plot."""
    measured: dict[str, dict[int, Usage]] = {name: {} for name in VERBS}
    for size in SIZES:
        for name, usage in _usages(size):
            measured[name][size] = usage
    grown = [Growth(name, usages) for name, usages in measured.items()]
    PLOT.write_text(plot(grown))
    yield from grown


def _usages(size: int) -> Iterator[tuple[str, Usage]]:
    with gateway(size, applied=False) as commands:
        yield "first apply", commands.mosaic("apply", "--yes", "manifests")
        make_warm(commands)
        for name, words in VERBS.items():
            if words:
                yield name, _median([commands.mosaic(*words) for _ in range(ROUNDS)])
        floor = [sys.executable, "-c", FLOOR, "manifests"]
        yield "floor of a plan", _median([commands.run(floor) for _ in range(ROUNDS)])


def _median(usages: list[Usage]) -> Usage:
    return sorted(usages, key=lambda each: each.cpu_s)[len(usages) // 2]


def plot(grown: list[Growth]) -> str:
    """Return the processor seconds by size as SVG, both axes logarithmic."""
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    style = 'font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {style}>',
        "<title>Processor seconds of a command by the number of grants</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *(_text(_x(size), _BOTTOM + 18, f"{size:,} grants", "middle") for size in SIZES[1:]),
    ]
    for seconds in (0.1, 1.0, 10.0, 100.0):
        y = _y(seconds)
        lines.append(f'<path d="M{_LEFT} {y:.0f}H{_WIDTH - 20}" stroke="#ddd"/>')
        lines.append(_text(_LEFT - 8, y + 4, f"{seconds:g} s", "end"))
    for colour, each, row in zip(_COLOURS, grown, range(len(grown)), strict=True):
        points = [(_x(size), _y(each.usages[size].cpu_s)) for size in SIZES[1:]]
        path = "L".join(f"{x:.0f} {y:.0f}" for x, y in points)
        lines.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>' for x, y in points]
        label = f"{each.name} (exponent {each.exponent:.2f})"
        lines.append(_text(_LEFT + 12, 24 + 16 * row, label, "start", colour))
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


def _x(size: int) -> float:
    return _LEFT + 40 + (math.log10(size) - 3) / 2 * (_WIDTH - _LEFT - 120)


def _y(seconds: float) -> float:
    return _BOTTOM - (math.log10(seconds) + 1) / 3 * (_BOTTOM - 20)
