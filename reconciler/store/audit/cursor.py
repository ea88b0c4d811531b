"""A place in the audit log, from which it is read on and verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.audit.chain import (
    ChainBreak,
    Head,
    Record,
    check_records,
    record_hash,
)
from reconciler.store.audit.archives import end_of, newest_archive
from reconciler.store.audit.log import PAGE, PAGE_AFTER, RECORD
from reconciler.store.audit.position import has_record

if TYPE_CHECKING:
    from reconciler.store.db import Tx


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records that verify, and what is wrong with the one after them."""

    records: tuple[Record, ...]
    chain_break: ChainBreak | None

    @property
    def full(self) -> bool:
        """Whether there may be more."""
        return len(self.records) == PAGE


@dataclass(slots=True)
class Cursor:
    """The last record that was read, and verified."""

    last: Head

    def read(self, tx: Tx) -> RecordPage:
        """Return the next records, and move behind them.

        What is appended is appended with the head, so a record up to the head that is read first
        is either there or missing.

        Raises:
            Refused: `audit_archived`: the next records have left the database.
        """
        require_live(tx, self.last.seq)
        head = tx.row("SELECT seq, hash FROM federation_audit_head")
        if head is None:
            reason = "the row that names the newest record is missing"
            return RecordPage((), ChainBreak(self.last.seq + 1, reason))
        if head["seq"] < self.last.seq or not has_record(tx, self.last):
            reason = f"it was read, and is no longer there: the head is at seq {head['seq']}"
            return RecordPage((), ChainBreak(self.last.seq, reason))
        rows = tx.tuples(PAGE_AFTER, after=self.last.seq, newest=head["seq"], page=PAGE)
        records = tuple(map(Record._make, rows))
        count, chain_break = check_records(self.last, records)
        page = RecordPage(records[:count], chain_break)
        if chain_break is not None:
            require_live(tx, self.last.seq)  # they may have been archived since the first look
        if count:
            self.last = Head(records[count - 1].seq, records[count - 1].hash)
        if chain_break is not None:
            return page
        if not page.full and self.last != Head(head["seq"], head["hash"]):
            reason = f"the head is at seq {head['seq']}: records are missing or not its own"
            return RecordPage(page.records, ChainBreak(self.last.seq + 1, reason))
        return page


def require_live(tx: Tx, seq: int) -> None:
    """Raise where what follows a record is archived.

    Raises:
        Refused: `audit_archived`.
    """
    archive = newest_archive(tx)
    if archive is not None and seq < archive.last.seq:
        raise archive.refusal(f"audit list --archive FILE... --after {seq}")


def beginning(tx: Tx, cursor: Cursor | None = None) -> Cursor:
    """Return the cursor before all records that are in the database; one that is further stays."""
    end = end_of(newest_archive(tx))
    return cursor if cursor is not None and cursor.last.seq >= end.seq else Cursor(end)


def cursor_at(tx: Tx, seq: int) -> Cursor | ChainBreak:
    """Return the cursor behind a record, 0 for the beginning; or what is wrong with the record.

    Raises:
        Refused: `audit_archived`.
    """
    require_live(tx, seq)
    start = beginning(tx)
    if seq == start.last.seq:
        return start
    row = tx.row(f"SELECT {RECORD} FROM federation_audit_log WHERE seq = :seq", seq=seq)
    if row is None:
        head = tx.row("SELECT seq FROM federation_audit_head") or {"seq": 0}
        return ChainBreak(seq, f"there is no such record: the head is at seq {head['seq']}")
    record = Record(**row)
    if record.hash != record_hash(record.seq, record.prev, record.body):
        return ChainBreak(seq, "the hash does not match the body")
    return Cursor(Head(record.seq, record.hash))
