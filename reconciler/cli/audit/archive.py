"""Move old records of the audit log from the database into a file.

FILE gets the records before SEQ or DATE as JSON Lines, and the texts of certificates that had ended
by then and are revoked. It is read back and verified, and only then are they removed. `audit verify
--archive FILE` still follows the records. Only the login that owns the tables can do this. If it is
interrupted, run the same command again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    print_hint,
    read_settings,
    verb,
    yes_option,
)
from reconciler.cli.shared.input import working_directory
from reconciler.cli.shared.moments import MomentType, absolute
from reconciler.cli.terminal.confirmation import confirm
from reconciler.core.model.text import counted
from reconciler.core.model.times import rfc3339
from reconciler.operations.audit.archive import archive_records
from reconciler.store.audit.certificates import count_ended
from reconciler.store.audit.removal import records_before, require_owner
from reconciler.store.locks import actor_of
from reconciler.store.rollback_journal import recover_source

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class _BeforeType(click.ParamType["int | datetime | timedelta"]):
    name = "before"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | datetime | timedelta:
        text = str(value)
        if text.isascii() and text.isdecimal() and len(text) < 19:
            return int(text)
        return MomentType().convert(value, param, ctx)


@click.command(help=__doc__)
@click.argument("file")
@click.option(
    "--before",
    type=_BeforeType(),
    required=True,
    metavar="SEQ|DATE",
    help="The first record that stays, or a time, a date or a duration ago such as 90d.",
)
@yes_option
@verb
def command(file: str, before: int | datetime | timedelta, *, yes: bool) -> None:
    if not Path(file).name:
        raise click.UsageError(f"FILE: expected the name of a file, got {file!r}")
    path = Path(os.path.normpath(working_directory() / file))
    settings = read_settings()
    print_gateway(settings)
    with open_database(settings, "audit archive", role=None) as database:
        if settings.source is not None:  # the log tells what became of it only as long as it has it
            recover_source(database, settings.source)
        with database.transaction() as tx:
            require_owner(tx)
            first_to_stay = before if isinstance(before, int) else absolute(tx, before, "--before")
            selection = records_before(tx, first_to_stay)
            certificates = count_ended(tx, selection.at)
        records = counted(selection.count, "record")
        numbers = f"{selection.after.seq + 1:,} to {selection.last.seq:,}"
        click.echo(f"{records}: {numbers}, until {rfc3339(selection.at)}", err=True)
        if certificates:
            what = counted(certificates, "certificate")
            click.echo(f"the texts of {what} that had ended by then, and are revoked", err=True)
        confirm(f"Move them out of the database, into {path}?", yes=yes)
        archive = archive_records(database, selection, path, actor_of("user"))
    click.echo(f"moved {records} to {path}, {archive.sha256}")
    print_hint("keep the file: `mosaic federation audit verify --archive FILE` follows it")
