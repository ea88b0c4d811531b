"""Drift, found again from what has changed since it was looked for last.

Once, all rows and all records that say something of them are read (1 s with 10,000 grants). A
detector remembers what they came to, so that the next look reads the rows that were written since,
by whomever, and the records that were appended since. It returns what a new detector would.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.chain import GENESIS, Head
from reconciler.core.audit.fold import extend
from reconciler.core.audit.state import AuditState
from reconciler.core.drift.detection import find_drift, live_subject
from reconciler.errors import Retry
from reconciler.gc_pause import uncollected
from reconciler.store.audit import position
from reconciler.store.audit.archives import archived_state, end_of, newest_archive
from reconciler.store.drift import evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.audit.archive import Archive
    from reconciler.core.audit.chain import Record
    from reconciler.core.drift.model import Drift, HandChange
    from reconciler.store.db import Tx

MAX_TRIES: Final = 5  # to see rows and log as of one moment
LOG_AGAIN_S: Final = 60.0  # whoever owns the tables can change records that were read
WAIT_S: Final = 10.0  # for another thread that looks

# a sum that differs once one of the records is written again
_MARK: Final = """
SELECT count(*) + coalesce(sum(CAST(CAST(xmin AS text) AS bigint)), 0) AS mark
FROM federation_audit_log WHERE seq > :after AND seq <= :last
"""


class DriftDetector:
    """What drifted in one database, and what this was judged by. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._state = AuditState()
        self._head = Head(0, GENESIS)  # the last record that the state has
        self._log_mark = 0
        self._log_marked_s = time.monotonic()
        self._marks: dict[str, str] = {}  # of each row
        self._subjects: dict[str, str] = {}  # of each row that lives under its own name
        self._drifts: tuple[Drift, ...] = ()  # of rows
        self._newest_hand_change = 0
        self._hand_changes: tuple[HandChange, ...] = ()

    def drifted(self, tx: Tx) -> tuple[Drift, ...]:
        """Return every object that drifted, peers, grants, then certificates, by name.

        Raises:
            Retry: `unavailable`: another thread looks, and takes long.
        """
        if not self._lock.acquire(timeout=WAIT_S):
            raise Retry("unavailable", "another request looks for drift, which takes long")
        try:
            with uncollected():
                return self._settled(tx)
        except BaseException:
            self._forget()  # it may be half of a state
            raise
        finally:
            self._lock.release()

    def _settled(self, tx: Tx) -> tuple[Drift, ...]:
        """Return what drifted, of rows and log as of one moment.

        They are read one after the other, and an apply that commits in between looks like drift: so
        if the log has grown meanwhile, what has changed is read again.
        """
        for _ in range(MAX_TRIES):
            before, archive = position.head(tx), newest_archive(tx)
            drifts = self._look(tx, archive)
            if newest_archive(tx) != archive:
                self._forget()  # records may have left the log unread
            elif position.head(tx) == before:
                break
        return drifts

    def _look(self, tx: Tx, archive: Archive | None) -> tuple[Drift, ...]:
        start = end_of(archive)
        if self._head.seq < start.seq or not self._log_is_as_read(tx):
            self._forget()
            if archive is not None:
                self._state, self._head = archived_state(tx, archive), start
        marks = evidence.row_marks(tx)
        certificates = evidence.stored_certificates(tx)
        self._read_hand_changes(tx)
        unnamed = len(self._state.unnamed_subjects)
        changed = self._read_log(tx) | (self._marks.keys() - marks.keys())
        changed |= {row_id for row_id, mark in marks.items() if self._marks.get(row_id) != mark}
        if len(self._state.unnamed_subjects) != unnamed:  # any row may be one of those
            changed |= marks.keys()
        self._marks = marks
        if changed:
            self._judge(tx, changed)
        return *self._drifts, *find_drift((), certificates, self._state, self._hand_changes)

    def _judge(self, tx: Tx, changed: set[str]) -> None:
        """Judge rows that have changed, and those that drifted: their remedies depend on others."""
        judged = changed.union(each.row.id for each in self._drifts if each.row is not None)
        for row_id in judged:
            self._subjects.pop(row_id, None)
        others = frozenset(self._subjects.values())
        rows = evidence.stored_rows(tx, judged if len(judged) < len(self._marks) else None)
        for row in rows:
            if (subject := live_subject(row, self._state)) is not None:
                self._subjects[row.id] = subject
        self._drifts = find_drift(rows, (), self._state, self._hand_changes, others)

    def _read_hand_changes(self, tx: Tx) -> None:
        newest = evidence.newest_hand_change(tx)
        if newest != self._newest_hand_change:
            self._newest_hand_change, self._hand_changes = newest, evidence.hand_changes(tx)

    def _read_log(self, tx: Tx) -> set[str]:
        """Read the records that were appended since; return the ids of the rows that they name."""
        last = self._head

        def records() -> Iterator[Record]:
            nonlocal last
            for record in evidence.records(tx, self._head.seq):
                yield record
                last = Head(record.seq, record.hash)

        named = extend(self._state, records())
        self._log_mark += self._mark(tx, self._head.seq, last.seq)
        self._head = last
        return named

    def _log_is_as_read(self, tx: Tx) -> bool:
        """Tell whether the log still has what was read of it; changes of old records show late."""
        if not position.has_record(tx, self._head):
            return False
        if time.monotonic() - self._log_marked_s < LOG_AGAIN_S:
            return True
        self._log_marked_s = time.monotonic()
        return self._mark(tx, 0, self._head.seq) == self._log_mark

    def _mark(self, tx: Tx, after: int, last: int) -> int:
        if after == last:
            return 0
        return int(tx.one(_MARK, after=after, last=last)["mark"])
