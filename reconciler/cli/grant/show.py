"""`grant show`: one grant, all of it."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database, settings, verb
from reconciler.cli.shared.output import output_option, show_facts
from reconciler.store.views.grants import show_grant


@click.command()
@click.argument("name")
@output_option
@verb
def command(name: str, output: str) -> None:
    """Show the grant NAME: the live one, or the one that ended last."""
    found = settings()
    with database(found, "grant show") as opened, opened.transaction() as tx:
        row = show_grant(tx, name)
    show_facts(row, output)
