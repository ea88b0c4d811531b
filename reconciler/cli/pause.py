"""`pause`: no loop changes a row, until `resume`."""

from __future__ import annotations

import click

from reconciler.cli.context import database, say_gateway, settings, verb
from reconciler.store.locks import actor_name
from reconciler.store.reconcilers import pause


@click.command()
@click.option("--reason", required=True, help="Why; `status` and the audit log show it.")
@verb
def command(reason: str) -> None:
    """Keep `run` and `up` from applying anything, on every machine, until `resume`.

    They go on reading the source, and what ends goes on ending. `apply` by a person still works.
    """
    found = settings()
    say_gateway(found)
    with database(found, "pause") as opened, opened.transaction() as tx:
        made = pause(tx, f"user:{actor_name()}", reason)
    click.echo(f"paused by {made.by}: {made.reason}")
    click.echo("  go on with: mosaic federation resume")
