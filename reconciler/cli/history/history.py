"""Show the newest records of the audit log, or of one object.

The records of an object include those under its earlier names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.history.records import as_json, commit_text
from reconciler.cli.plan.options import IdentityType
from reconciler.cli.shared.context import read_settings, read_transaction, verb
from reconciler.cli.shared.output import list_output, show_list
from reconciler.store.audit.archives import newest_archive
from reconciler.store.audit.queries import history

if TYPE_CHECKING:
    from reconciler.core.model.spec import Identity

COLUMNS = (
    ("SEQ", lambda row: str(row["seq"])),
    ("AT", lambda row: str(row["at"])),
    ("WHAT", lambda row: str(row["kind"])),
    ("OF", lambda row: str(row["subject"])),
    ("BY", lambda row: str(row["actor"])),
    ("WHY", lambda row: str(row["reason"] or "-")),
    ("COMMIT", commit_text),
)


@click.command(help=__doc__)
@click.argument("subject", type=IdentityType(), metavar="[KIND/NAME]", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="The number of records.",
)
@list_output
@verb
def command(subject: Identity | None, limit: int, output: str) -> None:
    wanted = f"{subject[0].lower()}/{subject[1]}" if subject is not None else None
    with read_transaction(read_settings(), "history") as tx:
        rows = as_json(history(tx, wanted, limit))
        archive = newest_archive(tx) if len(rows) < limit else None
    if archive is not None:
        of_subject = f" --subject {wanted}" if wanted is not None else ""
        click.echo(archive.note(f"audit list --archive FILE...{of_subject}"), err=True)
    show_list(rows, COLUMNS, output, "nothing has happened yet")
