"""Show a peer.

This is the live peer NAME, or the one that was revoked last. The key is never shown. With
`--refresh`, an outbound peer's gateway is asked first what has become of the grant that it gave us.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import open_database, read_settings, verb
from reconciler.cli.shared.listing import print_object
from reconciler.cli.shared.names import name_argument
from reconciler.cli.shared.output import output_option
from reconciler.core.model.spec import Kind
from reconciler.core.privileges import Role
from reconciler.store.views.peers import show_peer


@click.command(help=__doc__)
@name_argument(Kind.PEER)
@click.option("--refresh", is_flag=True, help="Ask the other gateway first.")
@output_option
@verb
def command(name: str, refresh: bool, output: str) -> None:
    if refresh:
        _refresh(name)
    print_object("peer", show_peer, name, output)


def _refresh(name: str) -> None:
    # late: the clients of other gateways are not loaded to show a row
    from reconciler.operations.outbound_peer import refresh_peer

    settings = read_settings()
    with open_database(settings, "peer show", Role.GATEWAY) as database:
        refresh_peer(settings, database, name)
