"""Let `run` and `up` apply changes again.

Each of them does so in its next pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    read_settings,
    verb,
    wait_lock,
)
from reconciler.store.locks import actor_of, locked
from reconciler.store.loop_status import resume

if TYPE_CHECKING:
    from datetime import timedelta


@click.command(help=__doc__)
@wait_lock
@verb
def command(wait: timedelta) -> None:
    settings = read_settings()
    print_gateway(settings)
    with open_database(settings, "resume") as database, locked(database, wait) as tx:
        resume(tx, actor_of("user"))
    click.echo("the loops continue with their next pass")
