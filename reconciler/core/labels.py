"""Selectors of labels, as kubectl takes them: `region=eu,tier in (a,b),!retired`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY: Final = r"(?P<key>[^\s=!,()]+)"
_VALUE: Final = r"[^\s=!,()]*"
_REQUIREMENTS: Final = tuple(
    re.compile(rf"\s*{each}\s*")
    for each in (
        rf"{_KEY}\s*(?P<operator>==?|!=)\s*(?P<value>{_VALUE})",
        rf"{_KEY}\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)",
        rf"(?P<operator>!?)\s*{_KEY}",
    )
)
_COMMA: Final = re.compile(r",(?![^()]*\))")  # none within brackets


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one label must be: one of `values` (None: any), or, if `negated`, absent or another."""

    key: str
    values: frozenset[str] | None
    negated: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels are so."""
        value = labels.get(self.key)
        has = value is not None and (self.values is None or value in self.values)
        return has is not self.negated


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold."""

    requirements: tuple[Requirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether every requirement holds."""
        return all(each.holds(labels) for each in self.requirements)


def read_selector(text: str) -> Selector:
    """Return the selector that a text spells; raise `ValueError` else."""
    return Selector(tuple(map(_requirement, _COMMA.split(text))))


def _requirement(text: str) -> Requirement:
    for pattern in _REQUIREMENTS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        groups = match.groupdict()
        operator = groups["operator"]
        negated = operator in ("!", "!=", "notin")
        if groups.get("values") is not None:
            return Requirement(match["key"], _values(groups["values"]), negated)
        value = groups.get("value")
        return Requirement(match["key"], None if value is None else frozenset({value}), negated)
    raise ValueError(f"{text.strip()!r} is none of key=value, key!=value, key, !key, key in (a,b)")


def _values(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split(","))
