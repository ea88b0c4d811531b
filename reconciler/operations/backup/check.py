"""The proof that a backup can be restored: it is, into a server that is thrown away."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.backup.manifest import SETTINGS
from reconciler.crypto.certificates import read_certificate
from reconciler.crypto.keyring import FileKeyring
from reconciler.crypto.keys import load_private_key, spki_sha256
from reconciler.crypto.seal import unseal
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import require_usable, server_binaries
from reconciler.embedded.postgres.server import Cluster
from reconciler.embedded.scratch import abandoned_scratch, make_scratch
from reconciler.errors import MosaicError, NeedsEdit, Refused
from reconciler.files import private_folder, write_new
from reconciler.operations.backup.archive import opened_archive
from reconciler.operations.backup.files import PEPPER
from reconciler.operations.backup.home_settings import settings_of, settings_text
from reconciler.operations.gateway_files import parse_pepper, require_every_key
from reconciler.store.backup.load import load, require_known
from reconciler.store.db import Database
from reconciler.store.locks import actor_of, application_name
from reconciler.store.outbound.peers import sealed_keys
from reconciler.store.rewrap import sealed_by_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config.home import NamedServer
    from reconciler.core.backup.manifest import BackupManifest
    from reconciler.operations.backup.archive import BackupArchive
    from reconciler.store.db import Tx

PREFIX: Final = "mosaic-check-"
INTERMEDIATE, INTERMEDIATE_KEY = "intermediate_ca.crt", "intermediate_ca_key"


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
        _require_usable_files(archive)
        with _scratch_server(named) as (folder, url):
            database = Database(url, application_name("backup check"))
            load(database, archive.manifest, archive.chunks, actor_of("user"))
            keyring = _extract_keyring(archive, folder / "keys")
            with database.transaction() as tx:
                sealed = _open_sealed(tx, keyring)
        rows = sum(each.rows for each in archive.manifest.tables)
        return CheckedBackup(archive.manifest, rows, sealed)


def _extract_keyring(archive: BackupArchive, folder: Path) -> Path:
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


def _require_usable_files(archive: BackupArchive) -> None:
    """Refuse settings and a pepper that are none, and a CA whose key is not its certificate's."""
    if SETTINGS in archive.manifest.files("settings"):
        settings_of(archive)
        settings_text(archive, None)
    try:
        parse_pepper(archive.content(PEPPER), PEPPER)
    except NeedsEdit as error:
        raise Refused("backup_invalid", error.message, hint="use another backup") from None
    certificate, key = (f"ca/{name}" for name in (INTERMEDIATE, INTERMEDIATE_KEY))
    if not {certificate, key} <= set(archive.manifest.files("ca")):
        return  # it is elsewhere
    try:
        facts = read_certificate(archive.content(certificate).decode())
        if spki_sha256(load_private_key(archive.content(key)).public_key()) == facts.spki_sha256:
            return
        reason = f"{key} is not the key of {certificate}"
    except TypeError:
        return  # it has a passphrase, which step-ca knows
    except ValueError as error:
        reason = f"{key} or {certificate} cannot be read: {error}"
    raise Refused("backup_invalid", reason, hint="use another backup")


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
