"""What `list` and `show` share for grants and peers: the options, the query, and the printing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.shared.context import (
    open_database,
    option_group,
    read_settings,
    read_transaction,
)
from reconciler.cli.shared.formatting import ended
from reconciler.cli.shared.output import (
    document_text,
    json_line,
    list_lines,
    list_output,
    print_lines,
    show_facts,
)
from reconciler.cli.shared.watch import at_terminal, redraw, repeat, watch_option
from reconciler.core.privileges import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.cli.shared.output import Column
    from reconciler.core.model.documents import GrantView, PeerView
    from reconciler.store.db import Tx

    Documents = list[dict[str, Any]]

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of a list: which rows it has, and how it is printed."""

    statuses: tuple[str, ...]
    live: bool
    watch: bool
    output: str


def list_options(kind: str, statuses: Iterable[str]) -> Callable[[F], F]:
    """Return what adds `--status`, `--live`, `--watch` and `--output`, as one `options`."""
    status = click.option(
        "--status",
        "statuses",
        type=click.Choice([str(each) for each in statuses]),
        multiple=True,
        help=f"Only {kind}s of this status; may be given again.",
    )
    live = click.option("--live", is_flag=True, help="Show only those that have not ended.")
    return option_group("options", ListOptions, status, live, watch_option, list_output)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of one kind: its columns, and its options; `filtered` by more than its status."""

    kind: str
    columns: Sequence[Column]
    wide: Sequence[Column]
    options: ListOptions
    filtered: bool = field(kw_only=True)

    def print(self, read: Callable[[Tx], Iterable[GrantView | PeerView]]) -> None:
        """Print what a function reads, once or whenever it has changed."""
        previous: Documents | None = None

        def step() -> bool:
            nonlocal previous
            with database.transaction() as tx:
                lines, previous = self._read(read(tx), previous)
            if self.options.watch and at_terminal():
                redraw(lines)
            else:
                print_lines(lines)
            return False

        name, settings = f"{self.kind} list", read_settings()
        with open_database(settings, name, Role.READER, lasting=self.options.watch) as database:
            if self.options.watch:
                repeat(step)
            else:
                step()

    def _read(
        self, views: Iterable[GrantView | PeerView], previous: Documents | None
    ) -> tuple[list[str], Documents | None]:
        """Return the lines to print, and to `watch` the documents that they are of.

        Of a long list its text takes a tenth of its documents' memory, so those are not kept.
        """
        documents = (each.as_json() for each in views)
        listed = (each for each in documents if not (self.options.live and ended(each)))
        if not self.options.watch and self.options.output not in ("table", "wide"):
            return self._lines(listed), None
        kept = list(listed)
        if self.options.output in ("table", "wide"):
            kept.sort(key=ended)  # live ones first; else by name and age
        if not self.options.watch or at_terminal():
            return self._lines(kept), kept
        return self._news(kept, previous), kept

    @property
    def _none(self) -> str:
        """What is said where nothing is listed."""
        if self.filtered:
            return f"no such {self.kind}"
        status = " or ".join(self.options.statuses) or ("live" if self.options.live else "")
        return f"no {self.kind} is {status}" if status else f"there are no {self.kind}s"

    def _lines(self, documents: Iterable[dict[str, Any]]) -> list[str]:
        return list_lines(documents, self.columns, self.options.output, self._none, self.wide)

    def _news(self, documents: Documents, previous: Documents | None) -> list[str]:
        """Return the lines of what has changed; at first, of all."""
        streams = self.options.watch and self.options.output in ("json", "yaml")
        if previous is None and not streams:
            return self._lines(documents)
        before = {each["id"]: each for each in previous or ()}
        changed = [n for n, each in enumerate(documents) if before.get(each["id"]) != each]
        if self.options.output == "yaml":
            return [f"---\n{document_text(documents[n], 'yaml')}" for n in changed]
        if self.options.output == "json":
            return [json_line(documents[n]) for n in changed]
        lines = self._lines(documents)  # not at a terminal: a line each
        heading = len(lines) - len(documents) if documents else 0
        return [lines[heading + n] for n in changed]


def print_object(
    kind: str, read: Callable[[Tx, str], GrantView | PeerView], name: str, output: str
) -> None:
    """Print one object of a kind."""
    with read_transaction(read_settings(), f"{kind} show") as tx:
        document = read(tx, name).as_json()
    show_facts(document, output)
