"""List grants of every status, live ones first.

A grant is expired once its `expiresAt` has passed.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database, settings, verb
from reconciler.cli.shared.formatting import end_of, ended, held, live_certificate, state
from reconciler.cli.shared.output import output_option, show_list
from reconciler.core.model.states import GrantStatus
from reconciler.store.views.grants import list_grants

COLUMNS = (
    ("NAME", lambda row: row["name"]),
    ("STATUS", state),
    ("PEER", lambda row: row["peer"]),
    ("SUBJECT", lambda row: row["subjectUserId"]),
    ("ENDS", end_of),
    ("CERTIFICATE ENDS", live_certificate),
    ("HELD", held),
)


@click.command(help=__doc__)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([str(each) for each in GrantStatus]),
    multiple=True,
    help="Only grants of this status; may be given again.",
)
@click.option("--live", is_flag=True, help="Only those that have not ended.")
@output_option
@verb
def command(statuses: tuple[str, ...], live: bool, output: str) -> None:
    found = settings()
    with database(found, "grant list") as opened, opened.transaction() as tx:
        rows = list_grants(tx, statuses)
    if live:
        rows = [row for row in rows if not ended(row)]
    elif output == "table":
        rows.sort(key=ended)  # what lives first; else by name and age
    narrowed = " or ".join(statuses) or ("live" if live else "")
    none = f"no grant is {narrowed}" if narrowed else "there are no grants"
    show_list(rows, COLUMNS, output, none)
