"""Check that the schema is current and its rules are in force.

The rules are the constraints and the triggers.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database, settings, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.core.model.text import counted
from reconciler.errors import Refused
from reconciler.store.schema import differences


@click.command(help=__doc__)
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    with database(settings(), "db check") as opened:
        opened.require_writable()
        with opened.transaction() as tx:
            found = differences(tx)
    if output != "text":
        print_document({"inForce": not found, "differences": list(found)}, output)
    for each in found if output == "text" else ():
        click.echo(each)
    if found:
        raise Refused(
            "schema_differs",
            f"{counted(len(found), 'difference')} from what the migrations made",
            hint="find out who changed the schema; restore it from a backup",
        )
    if output == "text":
        click.echo("the schema is current, and its constraints and triggers are in force")
