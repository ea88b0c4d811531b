"""What suspending, resuming and revoking share: the options, the question, the lock, the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.shared.context import (
    add_options,
    open_database,
    print_gateway,
    read_settings,
    wait_lock,
    yes_option,
)
from reconciler.cli.shared.names import name_argument
from reconciler.cli.shared.output import output_option, print_document
from reconciler.cli.terminal.confirmation import confirm
from reconciler.store.locks import actor_of, locked
from reconciler.store.views.grants import show_grant
from reconciler.store.views.peers import show_peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from reconciler.core.model.documents import GrantView, PeerView
    from reconciler.core.model.spec import Kind
    from reconciler.store.db import Tx

F = TypeVar("F", bound="Callable[..., Any]")

reason_option = click.option(
    "--reason", default="", help="The reason, which is shown wherever the hold is shown."
)


def revoke_options(kind: Kind) -> Callable[[F], F]:
    """Return what adds NAME and the options of `revoke`."""

    def add(function: F) -> F:
        return add_options(
            function, name_argument(kind), reason_option, yes_option, wait_lock, output_option
        )

    return add


def change_hold(
    kind: str,
    name: str,
    change: Callable[[Tx, str], object],
    wait: timedelta,
    output: str,
    *,
    question: str = "",
) -> GrantView | PeerView:
    """Do `change` (with the actor's name) under the lock; print and return the object afterwards.

    A `question` is asked first, once the name is known, and while nothing is locked.
    """
    settings = read_settings()
    print_gateway(settings)
    show = show_grant if kind == "grant" else show_peer
    with open_database(settings, f"{kind} hold") as database:
        if question:
            with database.transaction() as tx:
                show(tx, name)
            confirm(question, yes=False)
        with locked(database, wait) as tx:
            change(tx, actor_of("user"))
            view = show(tx, name)
    if output != "table":
        print_document(view.as_json(), output)
    else:
        click.echo(f"{kind}/{name} is {view.status}")
    return view
