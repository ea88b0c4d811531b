"""What `list` and `show` share for grants and peers: the options, the query, and the printing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.shared.context import open_database, read_settings
from reconciler.cli.shared.formatting import ended
from reconciler.cli.shared.output import output_option, show_facts, show_list
from reconciler.core.privileges import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.cli.shared.output import Column
    from reconciler.core.model.documents import GrantView, PeerView
    from reconciler.store.db import Tx

F = TypeVar("F", bound="Callable[..., Any]")


def list_options(kind: str, statuses: Iterable[str]) -> Callable[[F], F]:
    """Return what adds `--status`, `--live` and `--output`."""

    def add(function: F) -> F:
        status = click.option(
            "--status",
            "statuses",
            type=click.Choice([str(each) for each in statuses]),
            multiple=True,
            help=f"Only {kind}s of this status; may be given again.",
        )
        live = click.option("--live", is_flag=True, help="Show only those that have not ended.")
        return status(live(output_option(function)))

    return add


def print_list(
    kind: str,
    read: Callable[[Tx, tuple[str, ...]], Sequence[GrantView] | Sequence[PeerView]],
    columns: Sequence[Column],
    statuses: tuple[str, ...],
    *,
    live: bool,
    output: str,
) -> None:
    """Print the objects of a kind, of these statuses where any are given."""
    with (
        open_database(read_settings(), f"{kind} list", Role.READER) as database,
        database.transaction() as tx,
    ):
        documents = [each.as_json() for each in read(tx, statuses)]
    if live:
        documents = [each for each in documents if not ended(each)]
    elif output == "table":
        documents.sort(key=ended)  # live ones first; else by name and age
    narrowed = " or ".join(statuses) or ("live" if live else "")
    none = f"no {kind} is {narrowed}" if narrowed else f"there are no {kind}s"
    show_list(documents, columns, output, none)


def print_object(
    kind: str, read: Callable[[Tx, str], GrantView | PeerView], name: str, output: str
) -> None:
    """Print one object of a kind."""
    with (
        open_database(read_settings(), f"{kind} show", Role.READER) as database,
        database.transaction() as tx,
    ):
        document = read(tx, name).as_json()
    show_facts(document, output)
