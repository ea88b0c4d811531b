"""Write a backup of this gateway to one file, while it runs.

The file contains the rows, the sealing keys, the token pepper, the files of the certificate
authority and the settings: anybody who has it has the gateway. Outside of a home, --ca-dir names
the folder of step-ca's files if they are here.

--check restores a backup into a temporary database, verifies its audit log, and opens what is
sealed in it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import open_database, print_gateway, read_settings, verb
from reconciler.cli.shared.input import working_directory
from reconciler.core.model.text import counted
from reconciler.core.model.times import rfc3339
from reconciler.core.privileges import Role
from reconciler.errors import NeedsEdit
from reconciler.memory_protection import protect_memory
from reconciler.operations.backup.check import check_backup
from reconciler.operations.backup.create import create_backup, refuse_existing
from reconciler.operations.backup.files import ca_of
from reconciler.store.db import Database
from reconciler.store.locks import application_name

if TYPE_CHECKING:
    from reconciler.config.home import NamedServer
    from reconciler.core.backup.manifest import BackupManifest

HINT = "name a file, which only its owner may read: a backup holds every key of the gateway"


@click.command(help=__doc__)
@click.argument("file", required=False)
@click.option("--check", "checked", metavar="FILE", help="Prove that a backup can be restored.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--ca-dir", metavar="DIR", help="The folder of step-ca's files, without a home.")
@click.option("--root-key", metavar="FILE", help="The file of the CA root's key, if it is here.")
@verb
def command(
    file: str | None,
    checked: str | None,
    ca_dir: str | None,
    root_key: str | None,
    *,
    force: bool,
) -> None:
    if (file is None) == (checked is None):
        raise NeedsEdit("usage", "expected one of FILE and --check FILE", hint=HINT)
    path = backup_path(file or checked or "")
    protect_memory()  # before a key is read
    if checked is not None:
        _check(path)
        return
    settings = read_settings()
    print_gateway(settings)
    if not force:
        refuse_existing(path)
    folder = working_directory()
    ca = ca_of(
        settings,
        folder / ca_dir if ca_dir is not None else None,
        folder / root_key if root_key is not None else None,
    )
    with open_database(settings, "backup", Role.GATEWAY) as current:
        database = Database(current.source, application_name("backup"), snapshot=True)
        manifest = create_backup(database, settings, ca, path, force=force)
    click.echo(f"wrote {path}: {_described(manifest)}")
    if "ca/ca.json" not in manifest.files("ca"):
        click.echo("it lacks the files of step-ca: pass --ca-dir, or back them up", err=True)
    elif "root-key/root_ca_key" not in manifest.files("root-key"):
        click.echo("it lacks the key of the CA's root, which is not here", err=True)


def backup_path(text: str) -> Path:
    """Return the path of a backup on the command line.

    Raises:
        NeedsEdit: `usage`: it is none, or `-`.
    """
    if text in ("", "-"):
        raise NeedsEdit("usage", f"got {text!r}, expected the path of a file", hint=HINT)
    return Path(os.path.normpath(working_directory() / text))


def _check(path: Path) -> None:
    done = check_backup(path, _postgres())
    click.echo(f"{path} restores: {_described(done.manifest)}")
    click.echo(f"  every sum matches; the audit log verifies; {counted(done.sealed, 'sealed key')}")


def _postgres() -> NamedServer | None:
    try:
        return read_settings().postgres_bin
    except NeedsEdit:  # a backup is checked on a machine that has no gateway too
        return None


def _described(manifest: BackupManifest) -> str:
    rows = sum(each.rows for each in manifest.tables)
    state = manifest.database
    return f"{counted(rows, 'row')} of {rfc3339(state.at)}, audit record {state.audit.seq}"
