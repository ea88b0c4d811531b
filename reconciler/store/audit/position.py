"""Which audit log a database has, and its newest record. Imports no events: every command asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.audit.chain import GENESIS, Head

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.store.db import Tx


def head(tx: Tx) -> Head:
    """Return the newest record, with those of this transaction."""
    row = tx.one("SELECT seq, hash FROM federation_audit_head")
    return Head(row["seq"], row["hash"])


def newest_age(tx: Tx) -> timedelta | None:
    """Return how long ago the newest record was appended; None where the log holds none."""
    row = tx.row(
        "SELECT clock_timestamp() - at AS age FROM federation_audit_log ORDER BY seq DESC LIMIT 1"
    )
    return row["age"] if row is not None else None


def first_hash(tx: Tx) -> str | None:
    """Return the hash of the first record, by which a log is known; None where it has none yet."""
    row = tx.row(
        "SELECT encode(hash, 'hex') AS hash FROM federation_audit_log WHERE seq = 1"
        " UNION ALL (SELECT encode(log_hash, 'hex') FROM federation_audit_archives LIMIT 1)"
    )
    return f"sha256:{row['hash']}" if row is not None else None


def has_record(tx: Tx, record: Head) -> bool:
    """Tell whether the log has a record, or ends an archive with it.

    Every log has the one before its first.
    """
    if record == Head(0, GENESIS):
        return True
    row = tx.row(
        "SELECT 1 FROM federation_audit_log WHERE seq = :seq AND hash = :hash"
        " UNION ALL SELECT 1 FROM federation_audit_archives"
        " WHERE last_seq = :seq AND last_hash = :hash",
        seq=record.seq,
        hash=record.hash,
    )
    return row is not None
