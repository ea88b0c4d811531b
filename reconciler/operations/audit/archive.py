"""Records of the audit log and texts of ended certificates, moved from the database to a file.

(1) write the records to a file beside its place, and then the texts of certificates that had ended
    by the last of them, and are revoked at the CA; sync it, and give it its name
(2) read the file back: verify each record, and fold what they say of rows and certificates
(3) one transaction: remove these texts and records, remember the archive and that state, record it

Whatever ends this process, each record is in the database or in a file that is whole. If it was
killed between (1) and (3), the same command continues with the file that is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.core.audit.archive import Archive
from reconciler.core.audit.chain import Head, broken, check_records
from reconciler.core.audit.fold import extend
from reconciler.core.audit.record_lines import certificate_line, line_of
from reconciler.core.audit.state import AuditState
from reconciler.errors import Refused
from reconciler.files import file_beside, unusable
from reconciler.operations.audit.archive_files import ArchiveFile
from reconciler.store.audit.archives import archived_state
from reconciler.store.audit.certificates import certificate_pages, remove_texts
from reconciler.store.audit.log import record_pages
from reconciler.store.audit.removal import remove, require_unchanged, serials_after

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.store.audit.removal import RecordRange
    from reconciler.store.db import Database

FORGET_EVERY: Final = 50  # pages: the serials of millions of records would need much memory


def archive_records(database: Database, selection: RecordRange, path: Path, actor: str) -> Archive:
    """Move records to a file, which is new, or has them already.

    Raises:
        Refused: `file_unusable`, `audit_broken`; `state_conflict`: others were archived meanwhile.
    """
    exists = not _write(database, selection, path)  # (1)
    try:
        file = ArchiveFile(path)
        state = _folded(database, selection, file)  # (2)
    except Refused as error:
        if not exists:
            raise
        hint = "nothing was changed; name another file"
        raise Refused("file_unusable", f"{path} exists: {error.message}", hint=hint) from error
    if file.last != selection.last:
        raise Refused(
            "file_unusable",
            f"{path} exists, with records to {file.last.seq:,}, expected {selection.last.seq:,}",
            hint=f"name another file, or archive what it has: --before {file.last.seq + 1}",
        )
    archive = Archive(
        selection.after.seq + 1, file.last, selection.log, selection.at, path.name, file.digest
    )
    with database.transaction(unlimited=True) as tx:
        for certificates in file.certificates():
            remove_texts(tx, selection.at, certificates)
        remove(tx, selection, archive, state, actor)  # (3)
    return archive


def _write(database: Database, selection: RecordRange, path: Path) -> bool:
    """Write the records; if the file exists, return False and change nothing."""
    try:
        with file_beside(path) as file, database.transaction(unlimited=True) as tx:
            last = selection.after
            for page in record_pages(tx, last.seq, selection.last.seq):
                count, chain_break = check_records(last, page)
                if chain_break is not None:
                    require_unchanged(tx, selection)
                    raise broken(chain_break)
                file.writelines(map(line_of, page))
                last = Head(page[count - 1].seq, page[count - 1].hash)
            for certificates in certificate_pages(tx, selection.at):
                file.writelines(map(certificate_line, certificates))
    except FileExistsError:
        return False
    except OSError as error:
        raise unusable(path, error, "written") from None
    return True


def _folded(database: Database, selection: RecordRange, file: ArchiveFile) -> AuditState:
    """Return what all records up to the end of the file say, of what has not ended by then."""
    with database.transaction() as tx:
        previous = selection.previous
        state = archived_state(tx, previous) if previous is not None else AuditState()
        serials = serials_after(tx, selection.at)
    for count, page in enumerate(file.pages(selection.after), 1):
        extend(state, page)
        if count % FORGET_EVERY == 0:
            state.forget_ended(serials, selection.at)
    state.forget_ended(serials, selection.at)
    return state
