"""What the database has of the archives of its audit log: where each ends, and the state then."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.archive import Archive
from reconciler.core.audit.chain import GENESIS, ChainBreak, Head, broken
from reconciler.core.audit.state import AuditState
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.store.db import Tx

NOT_RECORDED: Final = (
    "the records up to it are gone, and no later one says that they were archived like this"
)
_ARCHIVES: Final = """
SELECT first_seq, last_seq, last_hash, log_hash, last_at, file, sha256
FROM federation_audit_archives ORDER BY last_seq
"""


def newest_archive(tx: Tx) -> Archive | None:
    """Return the newest archive; None without one, and where a backup has an earlier schema."""
    if not tx.tuples("SELECT 1 WHERE to_regclass('federation_audit_archives') IS NOT NULL"):
        return None
    rows = tx.tuples(f"{_ARCHIVES} DESC LIMIT 1")
    return _archive(*rows[0]) if rows else None


def all_archives(tx: Tx) -> tuple[Archive, ...]:
    """Return the archives, oldest first."""
    return tuple(_archive(*row) for row in tx.tuples(_ARCHIVES))


def _archive(
    first: int,
    last: int,
    last_hash: bytes,
    log: bytes,
    at: datetime,
    file: str,
    sha256: str,
) -> Archive:
    return Archive(first, Head(last, last_hash), log, at, file, sha256)


def end_of(archive: Archive | None) -> Head:
    """Return the record after which the records in the database begin."""
    return archive.last if archive is not None else Head(0, GENESIS)


def state_digest(tx: Tx, archive: Archive) -> str:
    """Return the digest of the state that is stored with an archive; empty if there is none."""
    row = tx.one(
        "SELECT encode(sha256(convert_to(state, 'UTF8')), 'hex') AS digest"
        " FROM federation_audit_archives WHERE last_seq = :seq",
        seq=archive.last.seq,
    )
    return f"sha256:{row['digest']}" if row["digest"] is not None else ""


def archived_state(tx: Tx, archive: Archive) -> AuditState:
    """Return what the records up to the end of the newest archive say of rows and certificates.

    Raises:
        Refused: `audit_broken`: no record names this archive with this state.
    """
    text = tx.one(
        "SELECT state FROM federation_audit_archives WHERE last_seq = :seq", seq=archive.last.seq
    )["state"]
    event = archive.event(f"sha256:{hashlib.sha256((text or '').encode()).hexdigest()}")
    row = tx.row(
        "SELECT 1 FROM federation_audit_log WHERE subject = :subject AND kind = :kind"
        " AND CAST(body AS jsonb) -> 'data' = CAST(:details AS jsonb) LIMIT 1",
        subject=event.subject,
        kind=event.kind,
        details=as_json(event.details()),
    )
    if text is None or row is None:
        raise broken(ChainBreak(archive.last.seq, NOT_RECORDED))
    return AuditState.from_json(json.loads(text))
