"""`grant list`: every grant, and the truth about it."""

from __future__ import annotations

import click

from reconciler.cli.context import database, settings, verb
from reconciler.cli.output import output_option, show_list
from reconciler.cli.people import end_of, held, live_certificate, state
from reconciler.core.states import GrantStatus
from reconciler.store.grants import list_grants

COLUMNS = (
    ("NAME", lambda row: row["name"]),
    ("STATUS", state),
    ("PEER", lambda row: row["peer"]),
    ("SUBJECT", lambda row: row["subjectUserId"]),
    ("ENDS", end_of),
    ("CERTIFICATE ENDS", live_certificate),
    ("HELD", held),
)


@click.command()
@click.option(
    "--status",
    "statuses",
    type=click.Choice([str(each) for each in GrantStatus]),
    multiple=True,
    help="Only grants of this status; may be given again.",
)
@output_option
@verb
def command(statuses: tuple[str, ...], output: str) -> None:
    """List grants, in every state. A grant whose end has passed is expired."""
    found = settings()
    with database(found, "grant list") as opened, opened.transaction() as tx:
        rows = list_grants(tx, statuses)
    none = f"no grant is {' or '.join(statuses)}" if statuses else "there are no grants"
    show_list(rows, COLUMNS, output, none)
