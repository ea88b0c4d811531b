"""List the newest records of the audit log, oldest first.

A KIND is that of one event, such as theft.suspected, or a family of them, such as theft or grant.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import open_database, read_settings, verb
from reconciler.cli.shared.moments import MomentType, absolute
from reconciler.cli.shared.output import output_option, show_list
from reconciler.core.audit.events import EVENT_TYPES
from reconciler.core.model.spelling import nearest
from reconciler.core.model.text import printable
from reconciler.core.model.times import rfc3339
from reconciler.core.privileges import Role
from reconciler.errors import NeedsEdit
from reconciler.store.audit.log import RecordFilter, newest

if TYPE_CHECKING:
    from datetime import datetime, timedelta

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
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@output_option
@verb
def command(
    kinds: tuple[str, ...],
    since: datetime | timedelta | None,
    subject: str | None,
    limit: int,
    output: str,
) -> None:
    with (
        open_database(read_settings(), "audit list", Role.READER) as database,
        database.transaction() as tx,
    ):
        moment = absolute(tx, since, "--since") if since is not None else None
        rows = newest(tx, limit, RecordFilter(kinds, moment, subject))
    for each in kinds if not rows else ():
        _check_kind(each)
    documents = [
        {
            "seq": row["seq"],
            "at": rfc3339(row["at"]),
            "kind": row["kind"],
            "actor": row["actor"],
            "subject": row["subject"],
            "data": json.loads(row["body"])["data"],
        }
        for row in rows
    ]
    show_list(documents, COLUMNS, output, "the audit log has no such record")


def _check_kind(kind: str) -> None:
    """Refuse a kind that no record can have, where no record of an earlier version has it."""
    known = {*EVENT_TYPES, *(each.partition(".")[0] for each in EVENT_TYPES)}
    if kind not in known:
        raise NeedsEdit(
            "usage",
            f"--kind: got {printable(kind)!r}, which is no kind of event",
            hint=f"did you mean {nearest(kind, known)}?",
        )
