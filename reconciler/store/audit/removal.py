"""Records of the audit log that leave the database, once a file has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.chain import ChainBreak, Head, broken
from reconciler.core.canonical_json import canonical_json
from reconciler.core.model.times import rfc3339
from reconciler.errors import NeedsEdit, Refused
from reconciler.store.audit import log as audit
from reconciler.store.audit.archives import end_of, newest_archive
from reconciler.store.audit.position import first_hash, has_record

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.audit.archive import Archive
    from reconciler.core.audit.state import AuditState
    from reconciler.store.db import Tx

OLDEST_MIGRATION: Final = "0017"  # programs before it expect the log to begin with its first record
_OWNS: Final = """
SELECT pg_has_role(c.relowner, 'USAGE') AS owns, session_user AS login, r.rolname AS owner
FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
WHERE c.oid = to_regclass('federation_audit_log')
"""


@dataclass(frozen=True, slots=True)
class RecordRange:
    """The records after `after` up to `last`, which was appended at `at`; `log` is the first hash.

    `previous` is the archive that ends with `after`.
    """

    previous: Archive | None
    last: Head
    at: datetime
    log: bytes

    @property
    def after(self) -> Head:
        """The record before the first one."""
        return end_of(self.previous)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.last.seq - self.after.seq


def require_owner(tx: Tx) -> None:
    """Raise unless the login may do what the owner of the tables may.

    Raises:
        NeedsEdit: `config_invalid`.
    """
    row = tx.one(_OWNS)
    if not row["owns"]:
        raise NeedsEdit(
            "config_invalid",
            f"the login {row['login']} cannot remove audit records: only the owner of the tables"
            f" can, {row['owner']}",
            hint="use the login that runs the migrations (MOSAIC_DATABASE_URL)",
        )


def records_before(tx: Tx, before: int | datetime) -> RecordRange:
    """Return the records in the database before a number or a time.

    Raises:
        Refused: `state_conflict`: there is none.
    """
    previous = newest_archive(tx)
    if isinstance(before, int):
        statement = "SELECT seq, hash, at FROM federation_audit_log WHERE seq < :before"
    else:  # none after the first that is not before it: the clock may have been set back
        statement = (
            "SELECT seq, hash, at FROM federation_audit_log WHERE seq < coalesce((SELECT min(seq)"
            " FROM federation_audit_log WHERE at >= CAST(:before AS timestamptz)), 1 + 2^62)"
        )
    row = tx.row(f"{statement} ORDER BY seq DESC LIMIT 1", before=before)
    if row is None:
        shown = f"record {before:,}" if isinstance(before, int) else rfc3339(before)
        raise Refused(
            "state_conflict",
            f"the database has no audit record before {shown}",
            hint="nothing was changed; `mosaic federation audit list` shows the records",
        )
    log = bytes.fromhex((first_hash(tx) or "").removeprefix("sha256:"))
    return RecordRange(previous, Head(row["seq"], bytes(row["hash"])), row["at"], log)


def require_unchanged(tx: Tx, selection: RecordRange) -> None:
    """Raise where others have archived records since these were selected.

    Raises:
        Refused: `state_conflict`.
    """
    if newest_archive(tx) != selection.previous:
        raise Refused(
            "state_conflict",
            "other records were archived meanwhile",
            hint="nothing was removed; run the command again, with another file",
        )


def serials_after(tx: Tx, at: datetime) -> frozenset[str]:
    """Return the serials of the certificates that end after a moment."""
    rows = tx.rows("SELECT serial FROM federation_certificates WHERE not_after > :at", at=at)
    return frozenset(row["serial"] for row in rows)


def remove(tx: Tx, selection: RecordRange, archive: Archive, state: AuditState, actor: str) -> None:
    """Remove the records of an archive, and append the record of that.

    Raises:
        Refused: `state_conflict`: others were archived meanwhile; `audit_broken`.
    """
    tx.run("LOCK TABLE federation_audit_archives IN SHARE ROW EXCLUSIVE MODE")  # not two at once
    require_unchanged(tx, selection)
    if not has_record(tx, archive.last):
        raise broken(ChainBreak(archive.last.seq, "it is not the one that was archived"))
    text = canonical_json(state.as_json())
    tx.run("UPDATE federation_audit_archives SET state = NULL WHERE state IS NOT NULL")
    tx.run(
        "INSERT INTO federation_audit_archives (last_seq, first_seq, last_hash, log_hash, last_at,"
        " file, sha256, state) VALUES (:last_seq, :first_seq, :last_hash, :log_hash, :at, :file,"
        " :sha256, :state)",
        last_seq=archive.last.seq,
        first_seq=archive.first,
        last_hash=archive.last.hash,
        log_hash=archive.log,
        at=archive.at,
        file=archive.file,
        sha256=archive.sha256,
        state=text,
    )
    removed = tx.run(
        "DELETE FROM federation_audit_log WHERE seq BETWEEN :first AND :last",
        first=archive.first,
        last=archive.last.seq,
    )
    if removed != selection.count:
        reason = f"{removed:,} records were there, the archive has {selection.count:,}"
        raise broken(ChainBreak(archive.first, reason))
    tx.run(
        "UPDATE federation_control SET oldest_migration = greatest(oldest_migration, :oldest)",
        oldest=OLDEST_MIGRATION,
    )
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    audit.append(tx, actor, [archive.event(digest)])  # the head's lock, last
