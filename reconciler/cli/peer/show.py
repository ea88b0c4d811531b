"""Show a peer.

This is the live peer NAME, or the one that was revoked last. The key is never shown.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.listing import print_object
from reconciler.cli.shared.output import output_option
from reconciler.store.views.peers import show_peer


@click.command(help=__doc__)
@click.argument("name")
@output_option
@verb
def command(name: str, output: str) -> None:
    print_object("peer", show_peer, name, output)
