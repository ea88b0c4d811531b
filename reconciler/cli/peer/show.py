"""`peer show`: one peer, all of it but its key."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database, settings, verb
from reconciler.cli.shared.output import output_option, show_facts
from reconciler.store.views.peers import show_peer


@click.command()
@click.argument("name")
@output_option
@verb
def command(name: str, output: str) -> None:
    """Show the peer NAME: the live one, or the one that was revoked last."""
    found = settings()
    with database(found, "peer show") as opened, opened.transaction() as tx:
        row = show_peer(tx, name)
    show_facts(row, output)
