"""Stop `run` and `up` from applying changes, on every machine.

Waits for an apply that is in progress. When the command returns, no loop writes until `resume`. The
loops still read the source, and grants still expire. A person can still run `apply`, which prints a
notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    print_hint,
    read_settings,
    verb,
    wait_lock,
)
from reconciler.store.locks import actor_of, locked
from reconciler.store.loop_status import pause

if TYPE_CHECKING:
    from datetime import timedelta


@click.command(help=__doc__)
@click.option("--reason", required=True, help="The reason, which `status` and the audit log show.")
@wait_lock
@verb
def command(reason: str, wait: timedelta) -> None:
    settings = read_settings()
    print_gateway(settings)
    with open_database(settings, "pause") as database, locked(database, wait) as tx:
        made = pause(tx, actor_of("user"), reason)
    click.echo(f"paused by {made.by}: {made.reason}")
    print_hint("  resume with: `mosaic federation resume`")
