"""How far an audit log verifies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.audit.archive import Archive
    from reconciler.core.audit.chain import ChainBreak, Head


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a log verifies: the first record's hash, the last good one, and the break after it.

    `at` is when it was read, by the database's clock. `archive` is the newest one, after which the
    records in the database begin.
    """

    first: bytes
    last: Head
    at: datetime
    chain_break: ChainBreak | None
    archive: Archive | None = None

    @property
    def count(self) -> int:
        """How many records were verified: those in the database."""
        return self.last.seq - (self.archive.last.seq if self.archive is not None else 0)
