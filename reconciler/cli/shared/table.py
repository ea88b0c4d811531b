"""Tables that fit a terminal: names and times stay whole, other cells wrap, and are cut last."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

GAP: Final = "  "
MIN_WIDTH: Final = 8  # a column that wraps is not narrower
MAX_LINES: Final = 4  # of one cell; the rest is cut
EMPTY: Final = frozenset({"", "-"})


def table_lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    whole: Collection[str] = (),
) -> list[str]:
    """Return the lines of a table, without the columns in which no row has anything.

    Where it is wider than `width` (None: it may be of any width), the columns that are not in
    `whole` wrap, first between words; where that is not enough, the others wrap too.
    """
    shown = [n for n in range(len(header)) if n == 0 or any(row[n] not in EMPTY for row in rows)]
    cells = [[row[n] for n in shown] for row in (header, *rows)]
    fixed = {at for at, n in enumerate(shown) if header[n] in whole}
    widths = _fitted(cells, width, fixed)
    return [line for row in cells for line in _row(row, widths)]


def terminal_width() -> int | None:
    """Return the columns of who reads; None where nobody says (a pipe, a file)."""
    if os.environ.get("COLUMNS", "").isdecimal() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def cells_of(text: str) -> int:
    """Return how many cells of a terminal a text takes (UAX 11)."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def _fitted(cells: list[list[str]], width: int | None, fixed: set[int]) -> list[int]:
    columns = list(zip(*cells, strict=True))
    widths = [max(map(cells_of, column)) for column in columns]
    for at in fixed:  # their headings wrap
        words = columns[at][0].split()
        widths[at] = max(map(cells_of, (*columns[at][1:], *words)))
    if width is None or sum(widths) + len(GAP) * (len(widths) - 1) <= width:
        return [max(map(cells_of, column)) for column in columns] if width is None else widths
    every = range(len(widths))
    flexible = [at for at in every if at not in fixed]
    by_words = [
        max(MIN_WIDTH, *(cells_of(w) for t in c for w in t.split() or [t])) for c in columns
    ]
    narrowest = [MIN_WIDTH] * len(widths)
    for may, least in ((flexible, by_words), (flexible, narrowest), (every, narrowest)):
        while sum(widths) + len(GAP) * (len(widths) - 1) > width:
            candidates = [at for at in may if widths[at] > least[at]]
            if not candidates:
                break
            widths[max(candidates, key=lambda at: widths[at])] -= 1
    return widths


def _row(texts: list[str], widths: list[int]) -> list[str]:
    wrapped = [_wrapped(text, size) for text, size in zip(texts, widths, strict=True)]
    lines = []
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = (
            part + " " * (size - cells_of(part)) for part, size in zip(parts, widths, strict=True)
        )
        lines.append(GAP.join(padded).rstrip())
    return lines


def _wrapped(text: str, size: int) -> list[str]:
    """Return a text in lines of at most `size` cells, broken between words where it can be."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cells_of(joined) <= size:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for each in word:
            if cells_of(lines[-1]) + cells_of(each) > size:
                lines.append("")
            lines[-1] += each
    if len(lines) > MAX_LINES:
        last = lines[MAX_LINES - 1]
        while cells_of(last) >= size:
            last = last[:-1]
        return [*lines[: MAX_LINES - 1], f"{last}…"]
    return lines
