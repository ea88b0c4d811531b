"""`pause`: no loop changes a row, until `resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import database, say_gateway, say_next, settings, verb, wait_lock
from reconciler.store.locks import actor_name, locked
from reconciler.store.loop_status import pause

if TYPE_CHECKING:
    from datetime import timedelta


@click.command()
@click.option("--reason", required=True, help="Why; `status` and the audit log show it.")
@wait_lock
@verb
def command(reason: str, wait: timedelta) -> None:
    """Keep `run` and `up` from applying anything, on every machine, until `resume`.

    It waits for an apply that is under way; once it returns, no loop writes. They go on reading the
    source, and what ends goes on ending. `apply` by a person still works, and says so.
    """
    found = settings()
    say_gateway(found)
    with database(found, "pause") as opened, locked(opened, wait) as tx:
        made = pause(tx, f"user:{actor_name()}", reason)
    click.echo(f"paused by {made.by}: {made.reason}")
    say_next("  go on with: `mosaic federation resume`")
