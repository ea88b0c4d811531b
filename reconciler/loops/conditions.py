"""The watch over what no transaction tells of: drift, ends that come near, a pause that was left.

Every replica watches; rows decide who tells it, so that it is told once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.loops.jobs import Job
from reconciler.store.audit import log as audit
from reconciler.store.audit import position
from reconciler.store.drift.detector import DriftDetector
from reconciler.store.notices.watch import (
    DriftMarks,
    drift_marks,
    only_watcher,
    watch_drift,
    watch_ends,
    watch_pause,
)

if TYPE_CHECKING:
    from reconciler.store.async_database import AsyncDatabase
    from reconciler.store.db import Tx

CLOCK_EVERY: Final = timedelta(seconds=30)
DRIFT_EVERY: Final = timedelta(seconds=10)
REPAIR_AGAIN_S: Final = 30
DRIFT_AGAIN_S: Final = 3600  # what no trigger records: a trigger that is off, the CA's list


@dataclass(slots=True)
class Conditions:
    """The watch of one process; it remembers what it saw at its last look at the drift."""

    database: AsyncDatabase
    actor: str
    _detector: DriftDetector = field(default_factory=DriftDetector)
    _marks: DriftMarks | None = None
    _looked_s: float = 0.0
    _seen: frozenset[str] = frozenset()

    def jobs(self) -> list[Job]:
        """Return it as jobs of a gateway."""
        return [
            Job("ends and pauses", CLOCK_EVERY, self.watch_clock),
            Job("drift", DRIFT_EVERY, self.watch_drift),
        ]

    async def watch_clock(self) -> None:
        """Tell of ends that come near, and of a pause that was left."""
        await self.database.run(_clock, self.actor)

    async def watch_drift(self) -> None:
        """Tell of drift, and of its repair, if anything may have changed since the last look."""
        marks = await self.database.run(drift_marks)
        if not self._may_differ(marks):
            return
        self._seen = await self.database.run(_drift, self.actor, self._seen, self._detector)
        self._marks, self._looked_s = marks, time.monotonic()

    def _may_differ(self, marks: DriftMarks) -> bool:
        last, age_s = self._marks, time.monotonic() - self._looked_s
        if not marks.has_target:
            return False
        if last is None or self._seen or age_s >= DRIFT_AGAIN_S:
            return True
        if (marks.changes, marks.drifted) != (last.changes, last.drifted):
            return True
        return bool(marks.drifted) and marks.head != last.head and age_s >= REPAIR_AGAIN_S


def _clock(tx: Tx, actor: str) -> None:
    if only_watcher(tx):
        audit.append(tx, actor, [*watch_ends(tx), *watch_pause(tx)])


def _drift(tx: Tx, actor: str, seen: frozenset[str], detector: DriftDetector) -> frozenset[str]:
    """Tell of drift; return the keys of what is told at the next look, if it is still there.

    Rows and log are read one after the other. An apply that commits in between looks like drift: so
    if the log has grown meanwhile, only what was `seen` the last time counts.
    """
    if not only_watcher(tx):
        return seen
    before = position.head(tx)
    drifts = detector.drifted(tx)
    if position.head(tx) != before:
        unsure = frozenset(each.key for each in drifts) - seen
        drifts = tuple(each for each in drifts if each.key in seen)
    else:
        unsure = frozenset()
    audit.append(tx, actor, watch_drift(tx, drifts))
    return unsure
