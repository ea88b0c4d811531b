"""A restore in the database: the schema of the backup, its rows, and what is taken back at once.

    (1) the migrations make the schema that the rows are of
    (2) it is closed, and committed: who serves from it sees that before the rows are there
    (3) one transaction: the rows, the audit chain verified, tokens void, intents revoked, what an
        export tells made again, the record of it
    (4) the migrations since

A restore that is killed anywhere before the end of (3) leaves a database without rows, into which
the next one restores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.audit.chain import Head
from reconciler.core.audit.events import GatewayRestored
from reconciler.errors import MosaicError, Refused
from reconciler.store.audit import log as audit
from reconciler.store.backup.control import close, take_back
from reconciler.store.backup.remake import remake
from reconciler.store.backup.tables import copy_in, set_sequences, tables
from reconciler.store.migrate import upgrade
from reconciler.store.schema import HEAD, MIGRATIONS, revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconciler.core.backup.export import LaterRecords
    from reconciler.core.backup.manifest import BackupManifest
    from reconciler.store.backup.control import TakenBack
    from reconciler.store.db import Database, Tx

    Chunks = Callable[[str], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a restore did: `missing` are rows that the backup lacks and an export tells of."""

    taken: TakenBack
    missing: tuple[str, ...] = field(default=())


def require_empty(tx: Tx, migration: str) -> None:
    """Raise unless rows of a migration can be restored into the database.

    Raises:
        Refused: `state_conflict`: it holds rows; `schema_differs`: its schema is newer than they.
    """
    current = revisions(tx).current
    if current is None:
        return
    row = tx.row(
        "SELECT (SELECT seq FROM federation_audit_head) > 0"
        " OR EXISTS (SELECT FROM federation_peers) AS used"
    )
    if row is None or row["used"]:
        raise Refused(
            "state_conflict",
            "the database holds a gateway's rows: a backup is restored into an empty one",
            hint="make another (createdb NAME), and name it in MOSAIC_DATABASE_URL",
        )
    if current not in MIGRATIONS or current > migration:
        raise Refused(
            "schema_differs",
            f"the database is at migration {current}, the backup at {migration}",
            hint="restore into an empty database: the migrations are run then",
        )


def require_known(migration: str) -> None:
    """Raise where a later version of this program made the backup.

    Raises:
        Refused: `schema_differs`.
    """
    if migration not in MIGRATIONS:
        raise Refused(
            "schema_differs",
            f"the backup is of migration {migration!r}, which this version does not know",
            hint="install the version that made it, or a later one",
        )


def load(
    database: Database,
    manifest: BackupManifest,
    chunks: Chunks,
    actor: str,
    later: LaterRecords | None = None,
    *,
    settle_s: float = 0.0,
) -> Loaded:
    """Restore rows into an empty database; `settle_s` is how long a gateway trusts what it read.

    Raises:
        Refused: `state_conflict`, `schema_differs`; `backup_invalid`: the rows are not a gateway's.
    """
    migration = manifest.database.migration
    require_known(migration)
    with database.transaction() as tx:
        require_empty(tx, migration)
    upgrade(database, migration)  # (1)
    with database.transaction() as tx:
        close(tx, actor)  # (2)
    time.sleep(settle_s)
    with database.transaction(unlimited=True) as tx:  # (3)
        loaded = _load(tx, manifest, chunks, actor, later)
    upgrade(database, HEAD)  # (4)
    return loaded


def _load(
    tx: Tx, manifest: BackupManifest, chunks: Chunks, actor: str, later: LaterRecords | None
) -> Loaded:
    require_empty(tx, manifest.database.migration)
    copy_rows(tx, manifest, chunks)
    epoch = close(tx, actor)
    taken = take_back(tx, actor)
    missing = remake(tx, actor, later) if later is not None else ()
    state = manifest.database
    event = GatewayRestored(
        epoch=epoch,
        seq=state.audit.seq,
        hash=f"sha256:{state.audit.hash.hex()}",
        backup_at=state.at,
        tokens=taken.tokens,
        serials=taken.serials,
        export=later.last.seq if later is not None else None,
    )
    audit.append(tx, actor, [event])
    return Loaded(taken, missing)


def copy_rows(tx: Tx, manifest: BackupManifest, chunks: Chunks) -> None:
    """Copy the rows of a backup into tables that hold none, and verify their audit chain.

    Raises:
        Refused: `backup_invalid`.
    """
    present = dict(tables(tx))
    expected = {each.name: each.columns for each in manifest.tables}
    if present != expected:
        names = present.keys() | expected
        differing = sorted(name for name in names if present.get(name) != expected.get(name))
        raise _invalid(f"its tables are not those of its migration: {', '.join(differing)}")
    try:
        for rows in manifest.tables:
            copy_in(tx, rows, chunks(rows.member))
    except MosaicError:
        raise
    except Exception as error:
        state = getattr(error, "sqlstate", None)
        if state is None:
            raise
        # without its cause, whose text holds the row
        raise _invalid(f"the database refuses its rows (SQLSTATE {state})") from None
    set_sequences(tx)
    verified = audit.verify(tx)
    if verified.chain_break is not None:
        broken = verified.chain_break
        raise _invalid(f"its audit log breaks at seq {broken.seq}: {broken.reason}")
    if Head(verified.last.seq, verified.last.hash) != manifest.database.audit:
        raise _invalid("its audit log does not end with the record that its manifest names")


def _invalid(message: str) -> Refused:
    return Refused(
        "backup_invalid", message, hint="nothing was restored from it; use another backup"
    )
