"""Apply the source when it changes and by a timer, until a signal.

This is the reconciling loop alone. It needs the database, and neither the CA nor a key.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from reconciler.cli.gateway.webhook import read_webhook, webhook_options
from reconciler.cli.plan.options import signatures, signed_option
from reconciler.cli.shared.context import (
    long_running,
    open_database,
    print_gateway,
    read_settings,
    source_of,
    source_option,
)
from reconciler.cli.shared.moments import DurationType
from reconciler.cli.shared.signals import until_signal
from reconciler.core.plan.guard import GuardOptions
from reconciler.errors import MosaicError
from reconciler.loops.checkpoints import checkpointing
from reconciler.loops.jobs import run_jobs
from reconciler.loops.run import Loop
from reconciler.loops.service_status import Work, report_service
from reconciler.loops.triggers import PASS_EVERY, Triggers
from reconciler.operations.backup.remembered_head import RememberedHead
from reconciler.store.backup.database_identity import require_same_database
from reconciler.store.locks import actor_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from reconciler.cli.gateway.webhook import Webhook
    from reconciler.config import Settings
    from reconciler.loops.checkpoints import Task
    from reconciler.operations.private import PrivateListener
    from reconciler.store.backup.database_identity import SeenHead
    from reconciler.store.db import Database


@click.command(help=__doc__)
@click.option(
    "--poll",
    type=DurationType(shortest=timedelta(seconds=1)),
    default=PASS_EVERY,
    show_default="1m",
    help="The interval between two fetches of a repository and two comparisons with the rows.",
)
@webhook_options
@click.option(
    "--refuse-widening",
    is_flag=True,
    help="Refuse plans that grant more than now; a person must apply them.",
)
@signed_option
@source_option
@long_running
def command(
    poll: timedelta,
    webhook: str | None,
    webhook_secret_file: str | None,
    refuse_widening: bool,
    require_signed: bool,
) -> None:
    settings = read_settings()
    source = source_of(settings, None)
    pushes = read_webhook(webhook, webhook_secret_file, source)
    limits, signed = (
        GuardOptions(refuse_widening=refuse_widening),
        signatures(settings, required=require_signed),
    )

    async def run() -> None:
        triggers = Triggers(source, poll, pushes.url if pushes is not None else "")
        with (
            _listening(settings) as private,
            open_database(settings, "run", lasting=True) as database,
        ):
            loop = Loop(database, triggers, actor_of("loop"), limits, signed)
            if private is not None:
                loop.telemetry = private.metrics
            tasks = (_watching(settings, database), *checkpointing(settings, database.source))
            await _until_signal(loop, pushes, private, tasks)

    print_gateway(settings)
    asyncio.run(run())


async def _until_signal(
    loop: Loop, pushes: Webhook | None, private: PrivateListener | None, tasks: Sequence[Task]
) -> None:
    stop = until_signal()
    listening = [pushes.serving(loop.triggers.pushed)] if pushes is not None else []
    try:
        async with asyncio.TaskGroup() as group:
            for task in (*listening, *tasks):
                group.create_task(task(stop))
            if private is not None:
                group.create_task(
                    private.serve_loop(stop, loop.database.source, loop.require_recent_pass)
                )
            group.create_task(run_jobs([loop.expiry()], stop))
            group.create_task(loop.run(stop))
            work = Work(loop.database.source, (loop.require_recent_pass,))
            group.create_task(report_service(stop, loop.passed, work))
    except* MosaicError as failed:
        raise failed.exceptions[0] from None


def _watching(settings: Settings, database: Database) -> Task:
    """Return what ends the process if its database is replaced."""

    def in_transaction(seen: SeenHead | None) -> SeenHead | None:
        with database.transaction() as tx:
            return require_same_database(tx, seen)

    async def look(seen: SeenHead | None) -> SeenHead | None:
        return await asyncio.to_thread(in_transaction, seen)

    return lambda stop: RememberedHead(settings).watch(stop, look)


def _listening(settings: Settings) -> AbstractContextManager[PrivateListener | None]:
    if settings.private_listen is None:
        return nullcontext()
    from reconciler.operations.private import private_listener  # as above

    return private_listener(settings, "run")
