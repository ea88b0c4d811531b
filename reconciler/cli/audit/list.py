"""List the newest records of the audit log, oldest first.

KIND is an event, such as theft.suspected, or a group of events, such as theft or grant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from reconciler.cli.audit.stream import NONE, RecordList
from reconciler.cli.shared.context import archive_option, read_settings, read_transaction, verb
from reconciler.cli.shared.moments import MomentType, absolute
from reconciler.cli.shared.output import list_output, show_list
from reconciler.core.audit.chain import Record
from reconciler.core.audit.events import EVENT_TYPES
from reconciler.core.audit.record_lines import document_of
from reconciler.core.model.text import printable
from reconciler.core.spelling import nearest
from reconciler.errors import NeedsEdit
from reconciler.store.audit.archives import newest_archive
from reconciler.store.audit.log import RecordFilter, newest

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

NEWEST = 50  # records, if nothing says how many
COLUMNS = (
    ("SEQ", lambda row: str(row["seq"])),
    ("AT", lambda row: row["at"][:19] + "Z"),
    ("KIND", lambda row: row["kind"]),
    ("SUBJECT", lambda row: row["subject"]),
    ("ACTOR", lambda row: row["actor"]),
    ("DATA", lambda row: json.dumps(row["data"], ensure_ascii=False)),
)


@click.command(help=__doc__)
@click.option(
    "--kind", "kinds", multiple=True, help="Show only this kind of event; may be given again."
)
@click.option(
    "--since",
    type=MomentType(),
    metavar="TIME",
    help="Show only records since this time, a date, or a duration ago such as 2h.",
)
@click.option("--subject", help="Show only records of this object, such as grant/beta-tasks.")
@click.option(
    "--after",
    type=click.IntRange(0),
    metavar="SEQ",
    help="Show all records after this one, and verify the chain from there.",
)
@click.option(
    "--follow", is_flag=True, help="Continue with each new record, until Ctrl-C; each is verified."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    show_default="50, or none with --after",
    help="The maximum number of records.",
)
@archive_option
@list_output
@verb
def command(
    kinds: tuple[str, ...],
    since: datetime | timedelta | None,
    subject: str | None,
    after: int | None,
    follow: bool,
    limit: int | None,
    archives: tuple[Path, ...],
    output: str,
) -> None:
    if follow and after is not None and limit is not None:
        raise click.UsageError("--limit and --follow exclude each other")
    if follow and archives:
        raise click.UsageError("--archive and --follow exclude each other")
    with read_transaction(read_settings(), "audit list") as tx:
        moment = absolute(tx, since, "--since") if since is not None else None
        only = RecordFilter(kinds, moment, subject)
        plain = after is None and not follow and not archives
        rows = newest(tx, limit or NEWEST, only) if plain else ()
        archive = newest_archive(tx) if plain and len(rows) < (limit or NEWEST) else None
    for each in kinds if not rows else ():
        _check_kind(each)
    if archive is not None and (moment is None or moment <= archive.at):
        click.echo(archive.note("audit list --archive FILE..."), err=True)
    records = RecordList(only, COLUMNS, output)
    if archives:
        records.print_archived(archives, after, limit or (NEWEST if after is None else 0))
    elif follow:
        records.follow(after, limit or NEWEST)
    elif after is not None:
        records.print_after(after, limit)
    else:
        show_list([document_of(Record(**row)) for row in rows], COLUMNS, output, NONE)


def _check_kind(kind: str) -> None:
    """Refuse a kind that no record can have, where no record of an earlier version has it."""
    known = {*EVENT_TYPES, *(each.partition(".")[0] for each in EVENT_TYPES)}
    if kind not in known:
        raise NeedsEdit(
            "usage",
            f"--kind: got {printable(kind)!r}, which is not a kind of event",
            hint=f"did you mean {nearest(kind, known)}?",
        )
