"""`resume`: the loops go on after a `pause`."""

from __future__ import annotations

import click

from reconciler.cli.context import database, say_gateway, settings, verb
from reconciler.store.locks import actor_name
from reconciler.store.reconcilers import resume


@click.command()
@verb
def command() -> None:
    """Let `run` and `up` apply again; each does so with its next pass."""
    found = settings()
    say_gateway(found)
    with database(found, "resume") as opened, opened.transaction() as tx:
        resume(tx, f"user:{actor_name()}")
    click.echo("the loops go on with their next pass")
