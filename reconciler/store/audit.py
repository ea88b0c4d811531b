"""The audit chain in the database: appended with each change, read in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit import GENESIS, Broken, Entry, Event, Head, chain, check_entry
from reconciler.store.tx import as_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.store.tx import Tx

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


def verify(tx: Tx) -> tuple[int, Broken | None]:
    """Return how many entries verify, from the first, and the first that does not.

    What is appended meanwhile is left to the next time.
    """
    end = tx.row(  # one statement, so one snapshot: others may append while we read
        "SELECT h.seq, h.hash, (SELECT coalesce(max(seq), 0) FROM federation_audit_log) AS newest"
        " FROM federation_audit_head AS h"
    )
    newest_seq = end["newest"] if end is not None else 0
    last = Head(0, GENESIS)
    for entry in entries(tx, newest_seq):
        if (broken := check_entry(last, entry)) is not None:
            return last.seq, broken
        last = Head(entry.seq, entry.hash)
    if end is None:
        return last.seq, Broken(last.seq + 1, "the row that names the newest entry is missing")
    if (end["seq"], end["hash"]) != (last.seq, last.hash):
        reason = f"the head is at seq {end['seq']}: entries are missing or not its own"
        return last.seq, Broken(last.seq + 1, reason)
    return last.seq, None


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
