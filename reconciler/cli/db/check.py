"""Check that the schema is current and its rules are in force.

The rules are the constraints, the triggers, the functions, the digests of rows and, where
`db roles` made them, the rights of the roles.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import open_database, read_settings, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.core.model.text import counted
from reconciler.core.privileges import Role
from reconciler.errors import Refused
from reconciler.store.roles.catalog import role_differences, roles_are_made
from reconciler.store.schema import differences


@click.command(help=__doc__)
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    with open_database(read_settings(), "db check", Role.READER) as database:
        database.require_writable()
        with database.transaction() as tx:
            differing = differences(tx)
            made = roles_are_made(tx)
            differing += role_differences(tx) if made else ()
    if output != "text":
        print_document({"inForce": not differing, "differences": list(differing)}, output)
    for each in differing if output == "text" else ():
        click.echo(each)
    if differing:
        raise Refused(
            "schema_differs",
            f"{counted(len(differing), 'difference')} from what the migrations made",
            hint="find out who changed it; `mosaic federation db roles` restores the rights of"
            " roles, a backup the rest",
        )
    if output == "text":
        rules = "constraints, triggers and roles" if made else "constraints and triggers"
        click.echo(f"the schema is current, and its {rules} are in force")
