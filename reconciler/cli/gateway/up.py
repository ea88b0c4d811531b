"""Run this gateway with all its parts, until Ctrl-C.

Runs PostgreSQL, step-ca, the HTTPS endpoint and the reconciling loop of a home. If there is no
home, it is created first. The gateway stops within seconds and loses nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler.cli.gateway.init import make_home
from reconciler.cli.gateway.webhook import read_webhook, webhook_options
from reconciler.cli.plan.options import signatures
from reconciler.cli.shared.context import (
    long_running,
    read_settings,
    require_home,
    source_of,
    source_option,
    workers_option,
)
from reconciler.cli.shared.signals import ended_by, until_signal
from reconciler.cli.terminal.streams import announce
from reconciler.core.privileges import Role
from reconciler.embedded.supervise import require_stopped, supervised
from reconciler.errors import NeedsEdit
from reconciler.loops.checkpoints import checkpointing
from reconciler.loops.run import Loop
from reconciler.loops.triggers import Triggers
from reconciler.memory_protection import protect_memory
from reconciler.operations.endpoint import Endpoint
from reconciler.operations.gateway import keeping, moving, opened_gateway, read_files
from reconciler.operations.notices import sending_notices, usable_targets
from reconciler.operations.placement import require_ports
from reconciler.operations.private import private_listener, serving_authority, telemetry_of
from reconciler.store.db import Database
from reconciler.store.locks import actor_of, application_name
from reconciler.store.migrate import upgrade

if TYPE_CHECKING:
    from reconciler.cli.gateway.webhook import Webhook
    from reconciler.config import Settings


@click.command(help=__doc__)
@click.option(
    "--postgres-bin", metavar="DIR", help="The folder of the programs of PostgreSQL 15 or later."
)
@workers_option
@webhook_options
@source_option
@long_running
def command(
    postgres_bin: str | None,
    workers: str | None,
    webhook: str | None,
    webhook_secret_file: str | None,
) -> None:
    settings = read_settings(making_home=True, postgres_bin=postgres_bin, workers=workers)
    if settings.home is None:
        make_home(settings)
        settings = read_settings(making_home=True, postgres_bin=postgres_bin, workers=workers)
    if not settings.embedded:
        raise NeedsEdit(
            "config_invalid",
            f"{settings.origin_of('database_url')}: `up` runs only the PostgreSQL of a home",
            hint="unset it, or run the parts of this gateway: `mosaic federation serve`",
        )
    require_stopped(require_home(settings))  # first: its ports are taken too
    pushes = read_webhook(webhook, webhook_secret_file, source_of(settings, None))
    protect_memory()  # before a key is read
    asyncio.run(_up(settings, pushes))


async def _up(settings: Settings, webhook: Webhook | None) -> None:
    stop, files, home = until_signal(), read_files(settings), require_home(settings)
    targets, ports = usable_targets(settings), partial(require_ports, settings)
    triggers = Triggers(source_of(settings, None), webhook=webhook.url if webhook else "")
    async with AsyncExitStack() as stack:
        stack.enter_context(ended_by(stop))
        listening = [webhook.serving(triggers.pushed)] if webhook else []
        private = stack.enter_context(private_listener(settings, "up"))
        url_of = await stack.enter_async_context(
            supervised(home, stop.is_set, _migrate, require_ports=ports)
        )
        telemetry = telemetry_of(private)
        database = Database(url_of(Role.OPERATOR), application_name("up"), lasting=True)
        loop = Loop(
            database,
            triggers,
            actor_of("loop"),
            signatures=signatures(settings),
            telemetry=telemetry,
        )
        gateway_url = url_of(Role.GATEWAY)
        gateway = await stack.enter_async_context(
            opened_gateway(files, settings, gateway_url, telemetry)
        )
        rows_url = url_of(Role.READER)
        move = moving(home, rows_url)
        tasks = (loop.run, keeping(files, settings, gateway, gateway_url), move, *listening)
        endpoint = Endpoint(settings, gateway)
        private_tasks = serving_authority(
            private, url_of(Role.AUTHORITY), rows_url, endpoint.require_ready
        )
        others = (
            *private_tasks,
            *await sending_notices(targets, settings, gateway.database),
            *checkpointing(settings, rows_url),
        )
        await endpoint.run(stop, announce, *tasks, *others)
    announce("stopped; no process is left")


def _migrate(url: str) -> None:
    upgrade(Database(url, application_name("up")))
