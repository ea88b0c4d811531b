"""List the newest records of the audit log, oldest first."""

from __future__ import annotations

import json

import click

from reconciler.cli.shared.context import open_database, read_settings, verb
from reconciler.cli.shared.output import output_option, show_list
from reconciler.core.model.times import rfc3339
from reconciler.store.audit.log import newest

COLUMNS = (
    ("SEQ", lambda row: str(row["seq"])),
    ("AT", lambda row: row["at"][:19] + "Z"),
    ("KIND", lambda row: row["kind"]),
    ("SUBJECT", lambda row: row["subject"]),
    ("ACTOR", lambda row: row["actor"]),
    ("DATA", lambda row: json.dumps(row["data"], ensure_ascii=False)),
)


@click.command(help=__doc__)
@click.option("--subject", help="Show only records of this object, such as grant/beta-tasks.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@output_option
@verb
def command(subject: str | None, limit: int, output: str) -> None:
    with open_database(read_settings(), "audit list") as database, database.transaction() as tx:
        rows = newest(tx, limit, subject)
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
