"""Answer whether certificates have authority now, until a signal.

This is `/authorize` of the private listener alone, for proxies and resource servers. It needs the
database, by a role that may only ask, and no key. Any number of these processes can run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from reconciler.authority import Authority
from reconciler.cli.shared.context import (
    long_running,
    print_gateway,
    read_settings,
    running_database,
)
from reconciler.cli.shared.signals import until_signal
from reconciler.cli.terminal.streams import announce
from reconciler.core.privileges import Role
from reconciler.operations.private import required_private_listener

if TYPE_CHECKING:
    from reconciler.operations.private import PrivateListener
    from reconciler.store.connection.conninfo import ConninfoSource


@click.command(help=__doc__)
@click.option("--private-listen", metavar="HOST:PORT|unix:PATH", help="The address to listen on.")
@long_running
def command(private_listen: str | None) -> None:
    settings = read_settings(private_listen=private_listen)
    with required_private_listener(settings, "authority") as listener:
        print_gateway(settings)
        with running_database(settings, Role.AUTHORITY) as database:
            asyncio.run(_serve(listener, database))


async def _serve(listener: PrivateListener, database: ConninfoSource) -> None:
    stop = until_signal()
    await Authority(database).require_usable()
    announce(f"ready: {listener.socket.shown}")
    await listener.serve_authority(stop, database)
