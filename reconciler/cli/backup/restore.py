"""Restore a backup into a new home, or into an empty database.

Nothing that was revoked comes back: open tokens become invalid, and the gateway answers 503 to its
peers until the source has been applied and --confirm is given. Before that, repeat the holds and
revocations that came after the backup, or pass an export of the audit log with --audit.

--adopt accepts a database that was replaced in another way, under the same conditions.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.backup.backup import backup_path
from reconciler.cli.shared.context import (
    print_gateway,
    print_hint,
    read_settings,
    require_home,
    running_database,
    verb,
    yes_option,
)
from reconciler.cli.shared.input import working_directory
from reconciler.cli.terminal.confirmation import confirm
from reconciler.config import database_source
from reconciler.config.home import Home
from reconciler.core.backup.export import read_export
from reconciler.core.model.text import counted
from reconciler.core.model.times import rfc3339
from reconciler.errors import NeedsEdit, Refused
from reconciler.memory_protection import protect_memory
from reconciler.operations.backup.archive import opened_archive
from reconciler.operations.backup.files import ca_of
from reconciler.operations.backup.remembered_head import RememberedHead
from reconciler.operations.backup.restore import restore_database, restore_home
from reconciler.store.backup import control
from reconciler.store.backup.database_identity import replaced
from reconciler.store.db import Database
from reconciler.store.locks import actor_of, application_name
from reconciler.store.schema import require_current_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.config import Settings
    from reconciler.core.backup.export import LaterRecords
    from reconciler.operations.backup.archive import BackupArchive
    from reconciler.store.backup.load import Loaded


@click.command(help=__doc__)
@click.argument("file", required=False)
@click.option("--audit", metavar="EXPORT", help="What `audit list --after SEQ -o jsonl` printed.")
@click.option("--confirm", "confirmed", is_flag=True, help="Let the gateway serve again.")
@click.option("--adopt", "adopted", is_flag=True, help="Accept a database that was replaced.")
@click.option("--ca-dir", metavar="DIR", help="The folder for step-ca's files, without a home.")
@click.option("--root-key", metavar="FILE", help="The file for the CA root's key.")
@click.option("--seen-as", metavar="DIR", help="The path of --ca-dir as step-ca sees it.")
@yes_option
@verb
def command(
    file: str | None,
    audit: str | None,
    ca_dir: str | None,
    root_key: str | None,
    seen_as: str | None,
    *,
    confirmed: bool,
    adopted: bool,
    yes: bool,
) -> None:
    if [file is not None, confirmed, adopted].count(True) != 1:
        raise NeedsEdit(
            "usage",
            "expected one of FILE, --confirm and --adopt",
            hint="see `mosaic federation restore --help`",
        )
    if confirmed:
        _confirm(yes=yes)
    elif adopted:
        _adopt(yes=yes)
    else:
        places = _Places(ca_dir, root_key, seen_as)
        protect_memory()  # before a key is read
        with opened_archive(backup_path(file or "")) as archive:
            later = _later(archive, audit)
            loaded = _restore(archive, later, places)
        _report(archive, loaded, later)


class _Places:
    def __init__(self, ca_dir: str | None, root_key: str | None, seen_as: str | None) -> None:
        folder = working_directory()
        self.ca_dir = folder / ca_dir if ca_dir is not None else None
        self.root_key = folder / root_key if root_key is not None else None
        self.seen_as = seen_as


def _restore(archive: BackupArchive, later: LaterRecords | None, places: _Places) -> Loaded:
    settings = read_settings(making_home=True)
    source = database_source(settings)
    if source is not None:
        print_gateway(settings)
        ca = ca_of(settings, places.ca_dir, places.root_key)
        return restore_database(archive, settings, source, ca, later, seen_as=places.seen_as)
    if settings.home is not None:
        raise Refused(
            "state_conflict",
            f"{settings.home.path} holds a gateway: a backup is restored into a new folder",
            hint="name another folder: --home DIR",
        )
    home = Home(settings.home_path.resolve(), settings.postgres_bin)
    click.echo(f"acting on the gateway in {home.path}", err=True)
    return restore_home(archive, home, later)


def _later(archive: BackupArchive, export: str | None) -> LaterRecords | None:
    if export is None:
        return None
    path = Path(working_directory() / export)
    try:
        with path.open(encoding="utf-8") as lines:
            return read_export(lines, archive.manifest.database.audit)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise Refused("file_unusable", message, hint="check the path") from None
    except ValueError as error:
        raise Refused(
            "audit_broken",
            f"{path}: {error}",
            hint=f"export it with --after {archive.manifest.database.audit.seq}, or leave it out",
        ) from None


def _report(archive: BackupArchive, loaded: Loaded, later: LaterRecords | None) -> None:
    state, taken = archive.manifest.database, loaded.taken
    click.echo(f"restored the gateway of {rfc3339(state.at)}, audit record {state.audit.seq}")
    click.echo(f"  void: {counted(taken.tokens, 'open token')}")
    click.echo(f"  revoked: {counted(len(taken.serials), 'unfinished certificate')}")
    if later is not None:
        click.echo(f"  holds and revocations up to audit record {later.last.seq} are made again")
        for subject in loaded.missing:
            click.echo(f"  not in the backup, hold or revoke it after the apply: {subject}")
    click.echo("the gateway answers 503 to its peers until you have done this:")
    if later is None:
        click.echo("  repeat the holds and revocations that came after the backup")
    print_hint("  apply the source: `mosaic federation apply`")
    print_hint("  then: `mosaic federation restore --confirm`")


def _confirm(*, yes: bool) -> None:
    with _owner_database("restore --confirm") as database:
        confirm("Let peers enroll, renew and use their certificates again?", yes=yes)
        with database.transaction() as tx:
            control.confirm(tx, actor_of("user"))
    click.echo("confirmed: the gateway serves its peers again")


def _adopt(*, yes: bool) -> None:
    settings = read_settings()
    with _owner_database("restore --adopt") as database:
        with database.transaction() as tx:
            reason = replaced(tx, RememberedHead(settings).read())
        if reason is None:
            raise Refused(
                "state_conflict",
                "the database is the one that this gateway had before",
                hint="there is nothing to adopt",
            )
        click.echo(reason, err=True)
        confirm("Use this database from now on, and void its open tokens?", yes=yes)
        with database.transaction() as tx:
            control.adopt(tx, actor_of("user"), reason)
    click.echo("adopted: the gateway answers 503 to its peers until you have done this:")
    click.echo("  if it is an older state: repeat the holds and revocations that came after it")
    print_hint("  apply the source: `mosaic federation apply`")
    print_hint("  then: `mosaic federation restore --confirm`")


@contextmanager
def _owner_database(name: str) -> Iterator[Database]:
    settings: Settings = read_settings()
    print_gateway(settings)
    if settings.database_url is None:
        require_home(settings)
    with running_database(settings) as source:
        database = Database(source, application_name(name))
        with database.transaction() as tx:
            require_current_in(tx)
        yield database
