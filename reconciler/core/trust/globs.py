"""Globs of paths, matched in one pass: `**` crosses folders, `*` and `?` do not.

A glob is a set of states, kept as the bits of one number, and each character of a path moves all
of them at once (Shift-And: Baeza-Yates and Gonnet, 1992). There is no way back to try, so a glob
that a repository brings cannot make a path costly.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Final

_PARTS: Final = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]", re.DOTALL)
_STARS: Final = ("*", "**", "**/")


@dataclass(slots=True)
class _States:
    """The states of a glob, by what each does; the last one, `count`, has matched all of it."""

    count: int = 0
    loops: int = 0  # stay at any character
    loops_within: int = 0  # stay at any character but a slash
    moves: dict[str, int] = field(default_factory=dict)  # lead on by this character
    moves_within: int = 0  # lead on by any character but a slash
    skips: int = 0  # lead on without a character
    skips_two: int = 0  # lead to the next state but one without a character

    def character(self, character: str) -> None:
        """Add a state that one character leaves."""
        self.moves[character] = self.moves.get(character, 0) | 1 << self.count
        self.count += 1

    def add(self, part: str) -> None:
        """Add the states of a part of a glob."""
        if part == "?":
            self.moves_within |= 1 << self.count
            self.count += 1
        elif part == "*":
            self.skips |= 1 << self.count
            self.loops_within |= 1 << self.count
            self.count += 1
        elif part.startswith("**/"):  # nothing, or folders with the slash after the last
            self.skips_two |= 1 << self.count
            self.skips |= 1 << self.count
            self.count += 1
            self.loops |= 1 << self.count
            self.character("/")
        elif part.startswith("**"):
            self.skips |= 1 << self.count
            self.loops |= 1 << self.count
            self.count += 1
        else:
            self.character(part)


@functools.lru_cache(maxsize=1024)
def _compiled(glob: str) -> _States:
    states = _States()
    for part in _plain(glob):
        states.add(part)
    return states


def _plain(glob: str) -> list[str]:
    """Return the parts of a glob, of neighbours that are one the one: a chain of them costs."""
    parts: list[str] = []
    for part in _PARTS.findall(glob):
        last = parts[-1] if parts else ""
        if "**" in (last, part) and last in _STARS and part in _STARS:
            parts[-1] = "**"
        elif last != part or part not in _STARS:
            parts.append(part)
    return parts


def matches(glob: str, path: str) -> bool:
    """Tell whether a whole path is one of a glob's, in time that grows with both lengths alone."""
    states = _compiled(glob)
    now = _reached(states, 1)
    for character in path:
        stays, leaves = states.loops, states.moves.get(character, 0)
        if character != "/":
            stays |= states.loops_within
            leaves |= states.moves_within
        now = _reached(states, (now & stays) | (now & leaves) << 1)
        if not now:
            return False
    return bool(now >> states.count & 1)


def _reached(states: _States, now: int) -> int:
    """Return the states with those that are reached from them without a character."""
    while True:
        more = now | (now & states.skips) << 1 | (now & states.skips_two) << 2
        if more == now:
            return now
        now = more
