"""Spelling: the edit distance of two words, and the known word most like a mistyped one."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_WORD: Final = 64  # characters that are compared; the cost grows with their square


def nearest(word: str, known: Collection[str], *, cutoff: float = 0.0) -> str:
    """Return the known word most like `word`, or nothing where none is as like as `cutoff`."""
    matches = difflib.get_close_matches(word[:MAX_WORD], list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else ""


def nearest_label(label: str, known: Collection[str]) -> str:
    """Return the known label, such as `grant/x` or `grant x`, whose name is most like this one's.

    Nothing where no name is like it: that two are grants makes them no more alike.
    """
    by_name: dict[str, str] = {}
    for each in sorted(known, key=lambda each: _kind(each) == _kind(label)):
        by_name[_name(each)] = each  # of the same kind, where two have the name
    return by_name.get(nearest(_name(label), by_name, cutoff=0.5), "")


def _kind(label: str) -> str:
    return re.split("[ /]", label, maxsplit=1)[0]


def _name(label: str) -> str:
    return re.split("[ /]", label, maxsplit=1)[-1]


def edits(one: str, other: str) -> int:
    """Return the edit distance of two words (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
