"""`run`: the loop alone. It needs the database, and neither the CA nor a key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import (
    database,
    long_running,
    say_gateway,
    settings,
    source_of,
    source_option,
)
from reconciler.cli.signals import until_signal
from reconciler.loops.run import Loop
from reconciler.store.locks import actor_name

if TYPE_CHECKING:
    from reconciler.config import Settings


@click.command()
@source_option
@long_running
def command() -> None:
    """Reconcile again and again: when a manifest changes, and by a timer, until a signal."""
    asyncio.run(_run(settings()))


async def _run(found: Settings) -> None:
    stop = until_signal()
    say_gateway(found)
    with database(found, "run") as opened:
        loop = Loop(opened, source_of(found, None), f"loop:{actor_name()}")
        await loop.run(stop)
