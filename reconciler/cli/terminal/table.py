"""Tables that fit a terminal: names stay whole, other cells wrap, and the least columns go."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

GAP: Final = "  "
MIN_WIDTH: Final = 8  # a column that wraps is not narrower
MAX_LINES: Final = 4  # of one cell; the rest is cut
EMPTY: Final = frozenset({"", "-"})


@dataclass(frozen=True, slots=True)
class Fit:
    """Which columns of a table give way where it is wider than the terminal, by their headings.

    Those of `names` and `times` stay whole. Others wrap between words; then those that are no names
    go, the `least` first, and of the rest the last one. Names wrap at the end.
    """

    names: Collection[str] = ()
    times: Collection[str] = ()
    least: Sequence[str] = ()

    def first_to_go(self, header: Sequence[str]) -> int | None:
        """Return the place of the column that the table can do without; None: of none."""
        dispensable = [n for n in range(1, len(header)) if header[n] not in self.names]
        ranked = [n for name in self.least for n in dispensable if header[n] == name]
        return next(iter(ranked + dispensable[::-1]), None)


def table_lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    fit: Fit,
) -> list[str]:
    """Return the lines of a table, without the columns in which no row has anything.

    It is not wider than `width` (None: it may be of any width).
    """
    shown = [n for n in range(len(header)) if n == 0 or any(row[n] not in EMPTY for row in rows)]
    while True:
        cells = [[row[n] for n in shown] for row in (header, *rows)]
        widths = _fitted(cells, width, fit)
        going = fit.first_to_go(cells[0])
        if widths is not None or going is None or width is None:
            break
        del shown[going]
    if widths is None and width is not None:
        widths = _narrowed(cells, width)
    return [line for row in cells for line in _row(row, widths or [])]


def terminal_width() -> int | None:
    """Return the columns of who reads; None where nobody says (a pipe, a file)."""
    if os.environ.get("COLUMNS", "").isdecimal() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def cells_of(text: str) -> int:
    """Return how many cells of a terminal a text takes (UAX 11), none of it a control."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # late, as below: hardly any text needs it

    return wcswidth(text)


def clip(text: str, width: int) -> str:
    """Return as much of a text as fits into so many cells."""
    if cells_of(text) <= width:
        return text
    part = ""
    for each in _graphemes(text):
        if cells_of(part + each) >= width:
            break
        part += each
    return f"{part}…"


def _graphemes(text: str) -> list[str]:
    from wcwidth import iter_graphemes

    return list(iter_graphemes(text))


def _natural(cells: list[list[str]], fit: Fit) -> tuple[list[int], list[int]]:
    """Return the widths of columns whose headings may wrap, and the least that keep words whole."""
    columns = list(zip(*cells, strict=True))
    whole = [header in (*fit.names, *fit.times) for header in cells[0]]
    words = [[word for text in column for word in text.split()] for column in columns]
    texts = [
        (*column[1:], *column[0].split()) if fixed else column
        for column, fixed in zip(columns, whole, strict=True)
    ]
    widths = [max(map(cells_of, each)) for each in texts]
    least = [
        width if fixed else max((MIN_WIDTH, *map(cells_of, each)))
        for width, each, fixed in zip(widths, words, whole, strict=True)
    ]
    return widths, least


def _fitted(cells: list[list[str]], width: int | None, fit: Fit) -> list[int] | None:
    """Return the widths of columns that fit with every word whole; None if they do not."""
    if width is None:
        return [max(map(cells_of, column)) for column in zip(*cells, strict=True)]
    return _shrunk(*_natural(cells, fit), width)


def _narrowed(cells: list[list[str]], width: int) -> list[int]:
    """Return the widths of columns whose words are broken where they must be."""
    widths = [max(map(cells_of, column)) for column in zip(*cells, strict=True)]
    least = [min(MIN_WIDTH, each) for each in widths]
    return _shrunk(widths, least, width) or least


def _shrunk(widths: list[int], least: list[int], width: int) -> list[int] | None:
    """Return widths that fit together, the widest made narrower first; None: they cannot."""
    widths = list(widths)
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        candidates = [at for at, each in enumerate(widths) if each > least[at]]
        if not candidates:
            return None
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
        for each in _graphemes(word):
            if cells_of(lines[-1]) + cells_of(each) > size:
                lines.append("")
            lines[-1] += each
    if len(lines) > MAX_LINES:
        last = lines[MAX_LINES - 1]
        while cells_of(last) >= size:
            last = "".join(_graphemes(last)[:-1])
        return [*lines[: MAX_LINES - 1], f"{last}…"]
    return lines
