"""What the audit log says of a moment: the records until then, verified on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.audit.chain import GENESIS, Head, check_record
from reconciler.core.audit.fold import extend
from reconciler.core.audit.snapshot import snapshot
from reconciler.core.audit.state import AuditState
from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused
from reconciler.store.audit.archives import archived_state, newest_archive
from reconciler.store.audit.cursor import require_live
from reconciler.store.audit.log import read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from reconciler.core.audit.chain import Record
    from reconciler.store.db import Tx


def state_at(tx: Tx, moment: datetime, archived: Iterable[Record] | None = None) -> dict[str, Any]:
    """Return what was granted at a moment, with the number of the last record before it.

    `archived` are the records of the archives, verified, oldest first.

    Raises:
        Refused: `audit_broken`: a record before that moment does not verify; `audit_archived`: the
            records of that moment are archived, and were not given.
    """
    archive, state = newest_archive(tx), AuditState()
    records = _RecordsUntil(tx, moment)
    if archived is not None:
        extend(state, records.of_archives(archived))
    elif archive is not None:
        if moment < archive.at:
            raise archive.refusal(f"at {rfc3339(moment)} --archive FILE...")
        state, records.last = archived_state(tx, archive), archive.last
    extend(state, records.of_database())
    unread = sorted(state.unnamed_kinds)
    return {"seq": records.last.seq, "unread": unread, **snapshot(state, moment)}


class _RecordsUntil:
    """The records up to a moment, each verified as it is read; `last` is the newest of them."""

    def __init__(self, tx: Tx, moment: datetime) -> None:
        self.last = Head(0, GENESIS)
        self._tx = tx
        self._moment = moment
        self._reached = False  # the moment

    def of_archives(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield those of archives, which are verified."""
        for record in records:
            self._reached = record.at > self._moment
            if self._reached:
                return
            self.last = Head(record.seq, record.hash)
            yield record

    def of_database(self) -> Iterator[Record]:
        """Yield those in the database."""
        for record in read_records(self._tx, self.last.seq) if not self._reached else ():
            if record.at > self._moment:
                return
            if (chain_break := check_record(self.last, record)) is not None:
                require_live(self._tx, self.last.seq)
                raise Refused(
                    "audit_broken",
                    f"the audit log breaks at seq {chain_break.seq}: {chain_break.reason}",
                    hint="what was granted then is unknown; see `mosaic federation audit verify`",
                )
            self.last = Head(record.seq, record.hash)
            yield record
