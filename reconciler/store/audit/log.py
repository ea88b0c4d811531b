"""The audit chain in the database: appended with each change, read in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.chain import (
    GENESIS,
    ChainBreak,
    Head,
    Record,
    check_records,
)
from reconciler.core.audit.events import AuditArchived
from reconciler.core.audit.fold import event_of
from reconciler.core.audit.verification import Verification
from reconciler.core.canonical_json import plain_json
from reconciler.core.notices.collector import NoticeCollector, notices_of
from reconciler.gc_pause import uncollected
from reconciler.store.audit.archives import NOT_RECORDED, end_of, newest_archive, state_digest
from reconciler.store.db import parts_of
from reconciler.store.notices import outbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.core.audit.archive import Archive
    from reconciler.core.audit.events import Event
    from reconciler.core.notices.model import Notice
    from reconciler.store.db import Tx

PAGE: Final = 2000  # records read at once
APPENDED_AT_ONCE: Final = 1_000  # events: made while PostgreSQL writes those before
RECORD: Final = "seq, at, kind, actor, subject, body, prev, hash"
PAGE_AFTER: Final = (
    f"SELECT {RECORD} FROM federation_audit_log"
    " WHERE seq > :after AND seq <= :newest ORDER BY seq LIMIT :page"
)

ARCHIVED: Final = AuditArchived.kinds[0]
OTHER_HASH: Final = "a checkpoint has another hash for it"


def appending(after: str = "") -> str:
    """Return the parts of a statement that append events and write their notices.

    They take the `parameters` of the events; `after` is a part whose rows they wait for, and
    without which nothing is appended. `appended` has the number and the time of the last record as
    `last`. The lock of the head is the last that is waited for: whoever locked it before another
    row would wait for a transaction that waits for the head.
    """
    source = f"FROM {after}" if after else ""
    return f"""
appended AS MATERIALIZED (
    SELECT federation_append_events(:actor, CAST(:events AS jsonb)) AS last {source}
), told AS ({outbox.WRITTEN})"""


def parameters(actor: str, events: Sequence[Event]) -> dict[str, str]:
    """Return the parameters of `appending`; `actor` is who did what the events say."""
    return _parameters(actor, events, notices_of(events, 1), len(events))


def _parameters(
    actor: str, events: Sequence[Event], notices: Iterable[Notice], last: int
) -> dict[str, str]:
    return {
        "actor": actor,
        "events": _events_json(events),
        "notices": outbox.notices_json(actor, notices, last),
    }


def _events_json(events: Iterable[Event]) -> str:
    return plain_json(
        [
            {"kind": each.kind, "subject": each.subject, "data": each.details_json()}
            for each in events
        ]
    )


_APPEND_PART: Final = "SELECT federation_append_events(:actor, CAST(:events AS jsonb)) AS last"
_APPEND: Final = f"WITH {appending()} SELECT last FROM appended"


def append(tx: Tx, actor: str, events: Iterable[Event]) -> int:
    """Append the events, in order, with their notices, and return the number of the last.

    This takes the last lock of the transaction. The events are taken a part at a time, as those of
    a large apply are never there at once.
    """
    collector, count = NoticeCollector(), 0
    part: list[Event] = []
    for following in parts_of(events, APPENDED_AT_ONCE):
        if part:
            _append_beside(tx, actor, part)
        part = following
        for event in part:
            count += 1
            collector.add(count, event)
    if not part:
        return 0
    last: int = tx.one(_APPEND, **_parameters(actor, part, collector.notices(), count))["last"][
        "seq"
    ]
    return last


def _append_beside(tx: Tx, actor: str, part: Iterable[Event]) -> None:
    events = _events_json(part)

    def work(tx: Tx) -> None:
        tx.run(_APPEND_PART, actor=actor, events=events)

    tx.beside(work)


@uncollected()
def verify(tx: Tx, known: Sequence[Head] = ()) -> Verification:
    """Return how far the log verifies, from the end of its newest archive on.

    `known` are records that it must have: of those in archives, the first one and their last ones.
    What is appended meanwhile is left to the next time.
    """
    while True:
        archive = newest_archive(tx)
        verification = _verify(tx, archive, known)
        if verification.chain_break is None or newest_archive(tx) == archive:
            return verification


def _verify(tx: Tx, archive: Archive | None, known: Sequence[Head]) -> Verification:
    end = tx.one(  # one statement, so one snapshot: others may append while we read
        "SELECT now() AS at, h.seq, h.hash,"
        " (SELECT coalesce(max(seq), 0) FROM federation_audit_log) AS newest"
        " FROM (VALUES (1)) AS one LEFT JOIN federation_audit_head AS h ON true"
    )
    first, last = archive.log if archive is not None else GENESIS, end_of(archive)
    chain_break = _break_at_start(archive, known)
    removal = archive.event(state_digest(tx, archive)) if archive is not None else None
    recorded = removal is None
    for page in record_pages(tx, last.seq, end["newest"]) if chain_break is None else ():
        count, chain_break = check_records(last, page)
        for at, each in ((each.seq - last.seq - 1, each) for each in known):
            if 0 <= at < count and page[at].hash != each.hash:
                count = at
                chain_break = ChainBreak(each.seq, OTHER_HASH)
        first = page[0].hash if count and last.seq == 0 else first
        last = Head(page[count - 1].seq, page[count - 1].hash) if count else last
        recorded = recorded or any(
            each.kind == ARCHIVED and event_of(each) == removal for each in page[:count]
        )
        if chain_break is not None:
            break
    if chain_break is None and not recorded:
        chain_break = ChainBreak(end_of(archive).seq, NOT_RECORDED)
    if chain_break is None:
        chain_break = _break_at_end(last, end, known)
    return Verification(first, last, end["at"], chain_break, archive)


def _break_at_start(archive: Archive | None, known: Sequence[Head]) -> ChainBreak | None:
    """Return which of the records that the log must have is not the one of its archives."""
    if archive is None:
        return None
    expected = {1: archive.log, archive.last.seq: archive.last.hash}
    for each in known:
        if expected.get(each.seq, each.hash) != each.hash:
            return ChainBreak(each.seq, OTHER_HASH)
    return None


def _break_at_end(last: Head, end: Mapping[str, Any], known: Sequence[Head]) -> ChainBreak | None:
    """Return what is wrong with where the log ends, after records that verify."""
    expected = max((each.seq for each in known), default=0)
    if end["seq"] is None:
        return ChainBreak(last.seq + 1, "the row that names the newest record is missing")
    if (end["seq"], end["hash"]) != (last.seq, last.hash):
        reason = f"the head is at seq {end['seq']}: records are missing or not its own"
        return ChainBreak(last.seq + 1, reason)
    if expected > last.seq:
        reason = f"records are missing: a checkpoint was taken at seq {expected}"
        return ChainBreak(last.seq + 1, reason)
    return None


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are meant: of these kinds or families of kinds, since a time, of a subject.

    `before` is the number of a record; those before it are meant.
    """

    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    subject: str | None = None
    before: int | None = None

    def lets_through(self, record: Record) -> bool:
        """Tell whether a record is meant."""
        families = {record.kind, record.kind.partition(".")[0]}
        return (
            (not self.kinds or not families.isdisjoint(self.kinds))
            and (self.since is None or record.at >= self.since)
            and (self.subject is None or record.subject == self.subject)
            and (self.before is None or record.seq < self.before)
        )


def newest(tx: Tx, limit: int, only: RecordFilter) -> list[dict[str, Any]]:
    """Return the newest records that a filter lets through, oldest first."""
    rows = tx.rows(
        f"SELECT {RECORD} FROM federation_audit_log"
        " WHERE (CAST(:subject AS text) IS NULL OR subject = :subject)"
        " AND (CAST(:since AS timestamptz) IS NULL OR at >= :since)"
        " AND (cardinality(CAST(:kinds AS text[])) = 0 OR kind = ANY(:kinds)"
        "   OR split_part(kind, '.', 1) = ANY(:kinds))"
        " AND (CAST(:before AS bigint) IS NULL OR seq < :before)"
        " ORDER BY seq DESC LIMIT :limit",
        before=only.before,
        subject=only.subject,
        since=only.since,
        kinds=list(only.kinds),
        limit=limit,
    )
    return rows[::-1]


def read_records(tx: Tx, after: int) -> Iterator[Record]:
    """Yield the records after a number, oldest first."""
    for page in record_pages(tx, after, 2**62):
        yield from page


def record_pages(tx: Tx, after: int, newest_seq: int) -> Iterator[list[Record]]:
    """Yield the records after a number and up to another, oldest first, so many at once."""
    while rows := tx.tuples(PAGE_AFTER, after=after, newest=newest_seq, page=PAGE):
        yield list(map(Record._make, rows))
        after = rows[-1][0]
