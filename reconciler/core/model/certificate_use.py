"""Use of certificates, gathered in memory until it is written: count, first and last time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.model.json_document import JsonDocument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Use(JsonDocument):
    """How often a certificate was used, and when first and last."""

    count: int
    first: datetime
    last: datetime

    def joined(self, other: Use) -> Use:
        """Return the use of both."""
        return Use(
            self.count + other.count, min(self.first, other.first), max(self.last, other.last)
        )


@dataclass(slots=True)
class UseRecord:
    """Use by serial, since it was taken out last."""

    _uses: dict[str, Use] = field(default_factory=dict)

    def add(self, serial: str, at: datetime) -> None:
        """Add one use of a certificate."""
        self._add(serial, Use(1, at, at))

    def take(self) -> dict[str, Use]:
        """Return what was gathered, and begin again."""
        uses, self._uses = self._uses, {}
        return uses

    def put_back(self, uses: Mapping[str, Use]) -> None:
        """Add what could not be written."""
        for serial, use in uses.items():
            self._add(serial, use)

    def _add(self, serial: str, use: Use) -> None:
        before = self._uses.get(serial)
        self._uses[serial] = use if before is None else before.joined(use)
