"""What the operator's brakes share: the lock, the question, and the state that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.shared.context import confirm, database, say_gateway, settings
from reconciler.cli.shared.output import print_document
from reconciler.store.locks import actor_name, locked
from reconciler.store.views.grants import show_grant
from reconciler.store.views.peers import show_peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from reconciler.store.db import Tx


def brake(
    kind: str,
    name: str,
    act: Callable[[Tx, str], None],
    wait: timedelta,
    output: str,
    *,
    question: str = "",
) -> dict[str, Any]:
    """Do `act` (with the actor's name) under the lock; tell and return the state afterwards.

    A `question` is asked first, once the name is known, and while nothing is locked.
    """
    found = settings()
    say_gateway(found)
    show = show_grant if kind == "grant" else show_peer
    with database(found, f"{kind} brake") as opened:
        if question:
            with opened.transaction() as tx:
                show(tx, name)
            confirm(question, yes=False)
        with locked(opened, wait) as tx:
            act(tx, f"user:{actor_name()}")
            row = show(tx, name)
    if output != "table":
        print_document(row, output)
    else:
        click.echo(f"{kind}/{name} is {row['status']}")
    return row
