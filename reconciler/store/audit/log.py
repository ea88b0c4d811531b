"""The audit chain in the database: appended with each change, read in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.chain import (
    GENESIS,
    Broken,
    Entry,
    Event,
    Head,
    Verified,
    chain,
    check_entry,
)
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.store.db import Tx

PAGE: Final = 2000  # entries read at once


def append(tx: Tx, events: Sequence[Event]) -> None:
    """Append the events, in order, as the last lock of the transaction.

    The head's row is locked first, so entries of concurrent transactions wait for one another and
    `seq` has no gaps.
    """
    if not events:
        return
    head = tx.row("SELECT seq, hash, clock_timestamp() AS at FROM federation_audit_head FOR UPDATE")
    assert head is not None
    entries = chain(Head(head["seq"], head["hash"]), head["at"], events)
    tx.run(
        "WITH head AS (UPDATE federation_audit_head SET seq = :seq, hash = decode(:hash, 'hex'))"
        " INSERT INTO federation_audit_log (seq, at, kind, actor, subject, body, prev, hash)"
        " SELECT seq, at, kind, actor, subject, body, decode(prev, 'hex'), decode(hash, 'hex')"
        " FROM jsonb_to_recordset(CAST(:entries AS jsonb)) AS entry(seq bigint, at timestamptz,"
        " kind text, actor text, subject text, body text, prev text, hash text)",
        seq=entries[-1].seq,
        hash=entries[-1].hash.hex(),
        entries=as_json([_as_row(entry) for entry in entries]),
    )


def verify(tx: Tx, known: Sequence[Head] = ()) -> Verified:
    """Return how far the log verifies, from its first entry on; `known` are entries it must have.

    What is appended meanwhile is left to the next time.
    """
    end = tx.row(  # one statement, so one snapshot: others may append while we read
        "SELECT now() AS at, h.seq, h.hash,"
        " (SELECT coalesce(max(seq), 0) FROM federation_audit_log) AS newest"
        " FROM (VALUES (1)) AS one LEFT JOIN federation_audit_head AS h ON true"
    )
    assert end is not None
    first, last = GENESIS, Head(0, GENESIS)
    for entry in entries(tx, end["newest"]):
        broken = check_entry(last, entry)
        if broken is None and any(h.seq == entry.seq and h.hash != entry.hash for h in known):
            broken = Broken(entry.seq, "a checkpoint has another hash for it")
        if broken is not None:
            return Verified(first, last, end["at"], broken)
        last = Head(entry.seq, entry.hash)
        first = last.hash if last.seq == 1 else first
    return Verified(first, last, end["at"], _broken_end(last, end, known))


def _broken_end(last: Head, end: Mapping[str, Any], known: Sequence[Head]) -> Broken | None:
    """Return what is wrong with where the log ends, after entries that verify."""
    expected = max((each.seq for each in known), default=0)
    if end["seq"] is None:
        return Broken(last.seq + 1, "the row that names the newest entry is missing")
    if (end["seq"], end["hash"]) != (last.seq, last.hash):
        reason = f"the head is at seq {end['seq']}: entries are missing or not its own"
        return Broken(last.seq + 1, reason)
    if expected > last.seq:
        reason = f"entries are missing: a checkpoint was taken at seq {expected}"
        return Broken(last.seq + 1, reason)
    return None


def newest(tx: Tx, limit: int, subject: str | None = None) -> list[dict[str, Any]]:
    """Return the newest entries, oldest first."""
    rows = tx.rows(
        "SELECT seq, at, kind, actor, subject, body FROM federation_audit_log"
        " WHERE CAST(:subject AS text) IS NULL OR subject = :subject"
        " ORDER BY seq DESC LIMIT :limit",
        subject=subject,
        limit=limit,
    )
    return rows[::-1]


def entries(tx: Tx, newest_seq: int = 2**62) -> Iterator[Entry]:
    """Yield the entries, oldest first, a page at a time."""
    after = 0
    while page := tx.rows(
        "SELECT seq, at, kind, actor, subject, body, prev, hash FROM federation_audit_log"
        " WHERE seq > :after AND seq <= :newest ORDER BY seq LIMIT :page",
        after=after,
        newest=newest_seq,
        page=PAGE,
    ):
        for row in page:
            yield Entry(**row)
        after = page[-1]["seq"]


def _as_row(entry: Entry) -> dict[str, object]:
    return {
        "seq": entry.seq,
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "actor": entry.actor,
        "subject": entry.subject,
        "body": entry.body,
        "prev": entry.prev.hex(),
        "hash": entry.hash.hex(),
    }
