"""A backup, made while everything runs.

(1) read the sealing keys and the other files
(2) open a snapshot of the rows, and copy them out
(3) read the keys and the files again
(4) every key that seals a value of the snapshot must be among them, and no other file may have
    changed; if a rotation was in the way, begin again
(5) write the archive beside its place, and give it its name once it is whole
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import IO, TYPE_CHECKING, Final

from reconciler.config import require
from reconciler.core.backup.manifest import BackupManifest, DatabaseState, Member, TableRows
from reconciler.errors import NeedsEdit, Refused
from reconciler.files import file_beside, unusable
from reconciler.operations.backup.archive import CHUNK, write_archive
from reconciler.operations.backup.files import (
    VARIABLES,
    files_of,
    read_file,
    sealing_keys,
    variables,
)
from reconciler.store.backup.tables import copy_out, database_state, tables
from reconciler.store.rewrap import sealed_by_key
from reconciler.store.schema import require_current_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.operations.backup.files import CaFolder
    from reconciler.store.db import Database, Tx

ATTEMPTS: Final = 5  # at a snapshot without a rotation in between


@dataclass(slots=True)
class _Spool:
    """The rows of a snapshot in a file without a name."""

    file: IO[bytes]
    tables: list[TableRows] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Begin again."""
        self.file.seek(0)
        self.file.truncate()
        self.tables.clear()
        self.members.clear()
        self.offsets.clear()

    def copy(self, tx: Tx, name: str, columns: tuple[str, ...]) -> None:
        """Copy the rows of a table to the end of the file."""
        digest, start = hashlib.sha256(), self.file.tell()

        def write(chunk: bytes) -> None:
            digest.update(chunk)
            self.file.write(chunk)

        rows = copy_out(tx, name, columns, write)
        table = TableRows(name, columns, rows)
        size = self.file.tell() - start
        self.tables.append(table)
        self.members.append(Member(table.member, size, digest.hexdigest()))
        self.offsets[table.member] = start

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the octets of a table."""
        self.file.seek(self.offsets[member.name])
        left = member.size
        while left:
            chunk = self.file.read(min(CHUNK, left))
            assert chunk, member.name
            left -= len(chunk)
            yield chunk


def create_backup(
    database: Database, settings: Settings, ca: CaFolder | None, path: Path, *, force: bool = False
) -> BackupManifest:
    """Write a backup of the gateway to a file, which must not exist; `force` replaces one.

    `database` is one of snapshots.

    Raises:
        Refused: `file_unusable`.
        NeedsEdit: `config_invalid`, `schema_missing`; `keyring_invalid`: a key that seals a value
            is missing.
    """
    try:
        with file_beside(path, replace=force) as target, _spool(path.parent) as spool:
            contents, state = _snapshot(database, settings, ca, spool)
            if not settings.embedded:
                contents[VARIABLES] = variables(settings)
            members = [
                Member(name, len(content), hashlib.sha256(content).hexdigest())
                for name, content in sorted(contents.items())
            ]
            version = metadata.version("mosaic-federation")
            every = (*spool.members, *members)
            manifest = BackupManifest(version, state, tuple(spool.tables), every)
            write_archive(
                target,
                manifest,
                lambda member: (
                    (contents[member.name],) if member.name in contents else spool.chunks(member)
                ),
            )
    except FileExistsError:
        raise existing(path) from None
    except OSError as error:
        raise unusable(path, error, "written") from None
    return manifest


def _snapshot(
    database: Database, settings: Settings, ca: CaFolder | None, spool: _Spool
) -> tuple[dict[str, bytes], DatabaseState]:
    """Return the files, and of what the rows in the spool are."""
    keyring, missing = require(settings.keyring, "keyring"), list[str]()
    for _ in range(ATTEMPTS):
        spool.clear()
        before, files = sealing_keys(keyring), _contents(settings, ca)  # (1)
        with database.transaction(unlimited=True) as tx:
            require_current_in(tx)
            state = database_state(tx)  # (2)
            sealing = {f"keys/{key_id}.key" for key_id in sealed_by_key(tx)}
            for name, columns in tables(tx):
                spool.copy(tx, name, columns)
        after, same = sealing_keys(keyring), _contents(settings, ca) == files  # (3)
        # a key can become primary between the look at the keys and that at `primary`
        sealing.add(f"keys/{after['keys/primary'].decode(errors='replace').strip()}.key")
        retired = {name: before[name] for name in sealing & before.keys() - after.keys()}
        missing = sorted(sealing - after.keys() - retired.keys())
        if not missing and same:  # (4)
            return files | after | retired, state
    if not missing:
        hint = "wait until what changes them has ended, and run the command again"
        raise Refused("file_unusable", "the files of the gateway change all the time", hint=hint)
    ids = ", ".join(name.removeprefix("keys/").removesuffix(".key") for name in missing)
    raise NeedsEdit(
        "keyring_invalid",
        f"rows or `primary` name keys that the keyring does not have: {ids}",
        hint=f"restore them into {keyring} from its backup",
    )


def _contents(settings: Settings, ca: CaFolder | None) -> dict[str, bytes]:
    try:
        return {name: read_file(path) for name, path in files_of(settings, ca).items()}
    except OSError as error:
        raise unusable(error.filename, error, "read") from None


@contextmanager
def _spool(folder: Path) -> Iterator[_Spool]:
    # without a name: whatever ends this process leaves nothing of it
    with tempfile.TemporaryFile(dir=folder) as file:
        yield _Spool(file)


def refuse_existing(path: Path) -> None:
    """Raise where a file would be written over.

    Raises:
        Refused: `file_unusable`.
    """
    if os.path.lexists(path):
        raise existing(path)


def existing(path: Path) -> Refused:
    """Return the refusal of a path that is taken."""
    hint = "name another file, or replace it: --force"
    return Refused("file_unusable", f"{path} exists", hint=hint)
