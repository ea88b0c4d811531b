"""Names of peers and grants in shell completion: those of the database, if it answers at once.

Nothing is started for them, and whatever goes wrong completes to nothing.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from reconciler.cli.shared.context import database_location, read_settings
from reconciler.core.privileges import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.model.spec import Kind

F = TypeVar("F", bound="Callable[..., Any]")

DEADLINE_S: Final = 0.2  # a person waits for it


def name_argument(kind: Kind) -> Callable[[F], F]:
    """Return what adds NAME, the name of a peer or a grant."""
    return click.argument("name", shell_complete=completing(kind))


def completing(
    kind: Kind, before: str = ""
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return what completes the names of a kind, each with a text `before` it."""

    def complete(ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
        names: list[str] = []
        if begun.startswith(before):
            with suppress(Exception), ctx.scope(cleanup=False):  # of the flags on the line
                names = _names(kind, begun.removeprefix(before))
        return [CompletionItem(f"{before}{each}") for each in names]

    return complete


def _names(kind: Kind, begun: str) -> list[str]:
    """Return the names that begin so; none if the database does not answer in time."""
    source = database_location(read_settings(), Role.READER)
    from reconciler.store.db import Database
    from reconciler.store.locks import application_name
    from reconciler.store.lookup import names_beginning

    names: list[str] = []

    def read() -> None:
        database = Database(source, application_name("completion"))
        with suppress(Exception), database.transaction() as tx:
            names.extend(names_beginning(tx, kind, begun))

    reader = threading.Thread(target=read, daemon=True)  # nobody waits for one that is late
    reader.start()
    reader.join(DEADLINE_S)
    return list(names)
