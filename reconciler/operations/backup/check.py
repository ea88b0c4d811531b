"""The proof that a backup can be restored: it is, into a server that is thrown away."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.crypto.keyring import FileKeyring
from reconciler.crypto.seal import unseal
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import require_usable, server_binaries
from reconciler.embedded.postgres.server import Cluster
from reconciler.embedded.scratch import abandoned_scratch, make_scratch
from reconciler.errors import MosaicError, Refused
from reconciler.files import private_folder, write_new
from reconciler.operations.backup.archive import opened_archive
from reconciler.operations.secrets import require_every_key
from reconciler.store.backup.load import load, require_known
from reconciler.store.db import Database
from reconciler.store.locks import actor_name, application_name
from reconciler.store.outbound.peers import sealed_keys
from reconciler.store.rewrap import sealed_by_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config.home import NamedServer
    from reconciler.core.backup.manifest import BackupManifest
    from reconciler.operations.backup.archive import Archive
    from reconciler.store.db import Tx

PREFIX: Final = "mosaic-check-"


@dataclass(frozen=True, slots=True)
class CheckedBackup:
    """A backup that restores: what it says of itself, and its sums of rows and sealed keys."""

    manifest: BackupManifest
    rows: int
    sealed: int


def check_backup(path: Path, named: NamedServer | None = None) -> CheckedBackup:
    """Restore a backup into a scratch server, open what is sealed in it, and remove all of it.

    Raises:
        Refused: `backup_invalid`, with what differs; `schema_differs`; `file_unusable`.
        MosaicError: the scratch server cannot be run.
    """
    with opened_archive(path) as archive:
        require_known(archive.manifest.database.migration)
        with _scratch_server(named) as (folder, url):
            database = Database(url, application_name("backup check"))
            load(database, archive.manifest, archive.chunks, f"user:{actor_name()}")
            keyring = _extract_keyring(archive, folder / "keys")
            with database.transaction() as tx:
                sealed = _open_sealed(tx, keyring)
        rows = sum(each.rows for each in archive.manifest.tables)
        return CheckedBackup(archive.manifest, rows, sealed)


def _extract_keyring(archive: Archive, folder: Path) -> Path:
    private_folder(folder)
    for name in archive.manifest.files("keys"):
        write_new(folder / name.rpartition("/")[2], archive.content(name), 0o400)
    return folder


def _open_sealed(tx: Tx, folder: Path) -> int:
    """Open every sealed key, and forget it; return how many there are."""
    try:
        keys = FileKeyring.load(folder)
        require_every_key(keys, sealed_by_key(tx), folder)
        sealed = sealed_keys(tx)
        for context, value in sealed:
            unseal(value, context, keys)
    except MosaicError as error:
        reason = error.message.replace(f"{folder}/", "keys/")
        hint = "use another backup"
        raise Refused("backup_invalid", f"its sealing keys: {reason}", hint=hint) from None
    return len(sealed)


@contextmanager
def _scratch_server(named: NamedServer | None) -> Iterator[tuple[Path, str]]:
    """Run a server in a temporary folder; yields the folder and the superuser's URL."""
    for left in abandoned_scratch(PREFIX):
        _remove(left)
    account = server_account()
    require_usable(account, named)
    binaries = server_binaries(account, named)
    folder = make_scratch(PREFIX)
    try:
        cluster = Cluster(
            base=folder / "server",
            sockets=folder / "server" / "run",
            binaries=binaries,
            account=account,
            password=secrets.token_urlsafe(32),
            log=folder / "log",
            durable=False,
        )
        clusters.ensure_running(cluster)
        yield folder, cluster.url()
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    clusters.end_all_in(folder / "server")
    shutil.rmtree(folder)
