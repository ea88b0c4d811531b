"""What the operator's brakes share: the lock, the question, and the state that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import database, say_gateway, settings
from reconciler.cli.output import print_document
from reconciler.store.grants import show_grant
from reconciler.store.locks import actor_name, locked
from reconciler.store.peers import show_peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from reconciler.store.tx import Tx


def brake(
    kind: str,
    name: str,
    act: Callable[[Tx, str], None],
    wait: timedelta,
    output: str,
) -> dict[str, Any]:
    """Do `act` (with the actor's name) under the lock; tell and return the state afterwards."""
    found = settings()
    say_gateway(found)
    with database(found, f"{kind} brake") as opened, locked(opened, wait) as tx:
        act(tx, f"user:{actor_name()}")
        row = show_grant(tx, name) if kind == "grant" else show_peer(tx, name)
    if output != "table":
        print_document(row, output)
    else:
        click.echo(f"{kind}/{name} is {row['status']}")
    return row
