"""Check that the schema is current and its rules are in force.

The rules are the constraints and the triggers.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import open_database, read_settings, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.core.model.text import counted
from reconciler.errors import Refused
from reconciler.store.schema import differences


@click.command(help=__doc__)
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    with open_database(read_settings(), "db check") as database:
        database.require_writable()
        with database.transaction() as tx:
            differing = differences(tx)
    if output != "text":
        print_document({"inForce": not differing, "differences": list(differing)}, output)
    for each in differing if output == "text" else ():
        click.echo(each)
    if differing:
        raise Refused(
            "schema_differs",
            f"{counted(len(differing), 'difference')} from what the migrations made",
            hint="find out who changed the schema; restore it from a backup",
        )
    if output == "text":
        click.echo("the schema is current, and its constraints and triggers are in force")
