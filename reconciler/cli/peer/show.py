"""Show a peer.

This is the live peer NAME, or the one that was revoked last. The key is never shown.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database, settings, verb
from reconciler.cli.shared.output import output_option, show_facts
from reconciler.store.views.peers import show_peer


@click.command(help=__doc__)
@click.argument("name")
@output_option
@verb
def command(name: str, output: str) -> None:
    found = settings()
    with database(found, "peer show") as opened, opened.transaction() as tx:
        row = show_peer(tx, name)
    show_facts(row, output)
