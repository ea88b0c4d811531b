"""Run the HTTPS endpoint and its workers, until a signal.

The workers revoke certificates at the CA. Inside a home, PostgreSQL and step-ca run too. Any number
of `serve` processes can share one database.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import (
    long_running,
    read_settings,
    require_home,
    workers_option,
)
from reconciler.cli.shared.signals import ended_by, until_signal
from reconciler.cli.terminal.streams import announce
from reconciler.config import database_source
from reconciler.core.privileges import Role
from reconciler.embedded.supervise import require_stopped, supervised
from reconciler.loops.checkpoints import checkpointing
from reconciler.memory_protection import protect_memory
from reconciler.operations.endpoint import Endpoint
from reconciler.operations.gateway import keeping, moving, opened_gateway, read_files
from reconciler.operations.notices import sending_notices, usable_targets
from reconciler.operations.placement import require_ports
from reconciler.operations.private import private_listener, serving_authority, telemetry_of

if TYPE_CHECKING:
    from reconciler.config import Settings
    from reconciler.store.connection.conninfo import ConninfoSource


@click.command(help=__doc__)
@click.option("--listen", metavar="HOST:PORT", help="The address to listen on.")
@click.option("--public-url", metavar="URL", help="The URL under which peers reach it.")
@workers_option
@long_running
def command(listen: str | None, public_url: str | None, workers: str | None) -> None:
    settings = read_settings(listen=listen, public_url=public_url, workers=workers)
    if database_source(settings) is None:
        require_stopped(require_home(settings))  # first: its ports are taken too
    protect_memory()  # before a key is read
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop, files = until_signal(), read_files(settings)
    targets = usable_targets(settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(ended_by(stop))
        private = stack.enter_context(private_listener(settings, "serve"))
        url, tasks = database_source(settings), []
        if url is None:
            home, ports = require_home(settings), partial(require_ports, settings)
            started = supervised(home, stop.is_set, require_ports=ports)
            url_of = await stack.enter_async_context(started)
            url = url_of(Role.GATEWAY)
            authority_url: ConninfoSource = url_of(Role.AUTHORITY)
            rows_url: ConninfoSource = url_of(Role.READER)
            tasks.append(moving(home, url_of(Role.READER)))
        else:
            require_ports(settings)
            authority_url = rows_url = url
        gateway = await stack.enter_async_context(
            opened_gateway(files, settings, url, telemetry_of(private))
        )
        endpoint = Endpoint(settings, gateway)
        tasks += [
            keeping(files, settings, gateway, url),
            *serving_authority(private, authority_url, rows_url, endpoint.require_ready),
            *await sending_notices(targets, settings, gateway.database),
            *checkpointing(settings, rows_url),
        ]
        await endpoint.run(stop, announce, *tasks)
