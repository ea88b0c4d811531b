"""What commands print: tables that fit a terminal, or JSON and YAML that scripts may rely on."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

from reconciler.cli.shared.table import table_lines, terminal_width
from reconciler.core.model.text import json_text as unicode_json
from reconciler.core.model.text import printable

F = TypeVar("F", bound=Callable[..., Any])
Column = tuple[str, Callable[[Mapping[str, Any]], str]]

# the headings of names and times, which stay whole in a narrow terminal
WHOLE: Final = frozenset(
    {"NAME", "GRANT", "PEER", "ID", "SEQ", "AT", "OF", "EXPIRES", "CERTIFICATE EXPIRES"}
)
MAX_CELL: Final = 4096  # characters


def output_option(function: F) -> F:
    """Add `--output table|json|yaml`."""
    return output_choice("table", "json", "yaml", about="How it is printed; json is stable.")(
        function
    )


def output_choice(first: str, *others: str, about: str) -> Callable[[F], F]:
    """Return what adds `-o/--output` with these choices, of which the first is the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice([first, *others]),
        default=first,
        show_default=True,
        help=about,
    )


def json_text(document: object) -> str:
    """Return a document as JSON that standard output can carry in its own encoding."""
    unicode = codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name == "utf-8"
    return unicode_json(document, indent=2) if unicode else json.dumps(document, indent=2)


def print_document(document: object, output: str) -> None:
    """Print a document as `json` or `yaml`."""
    if output == "yaml":
        from reconciler.manifest.write import yaml_text

        click.echo(yaml_text(document), nl=False)
    else:
        click.echo(json_text(document))


def show_list(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], output: str, none: str
) -> None:
    """Print a list: an array, or a table of its columns; `none` says that it is empty."""
    if output != "table":
        print_document(list(rows), output)
    elif not rows:
        click.echo(none)
    else:
        header = [name for name, _ in columns]
        body = [[printable(text(row), MAX_CELL) for _, text in columns] for row in rows]
        for line in table_lines(header, body, terminal_width(), WHOLE):
            click.echo(line)


def show_facts(facts: Mapping[str, Any], output: str) -> None:
    """Print one object: a document, or a line a fact."""
    if output != "table":
        print_document(dict(facts), output)
        return
    width = max(len(name) for name in facts) + 1
    for name, value in facts.items():
        for number, line in enumerate(_lines(value)):
            label = f"{name}:" if number == 0 else ""
            click.echo(f"{label:<{width}} {printable(line, MAX_CELL)}".rstrip())


def _lines(value: object) -> list[str]:
    match value:
        case None:
            return ["-"]
        case bool():
            return ["yes" if value else "no"]
        case list() | tuple():
            return [line for each in value for line in _entry(each)] or ["-"]
        case dict():
            return [f"{name}: {_one_line(each)}" for name, each in value.items()]
        case _:
            return [str(value)]


def _entry(value: object) -> list[str]:
    """Return the lines of one entry of a list; those of an object hang together."""
    first, *rest = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)] if isinstance(value, dict) else [first]


def _one_line(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_invitation(name: str, invitation: dict[str, Any]) -> None:
    """Print an invitation: its bare URL to standard output, what a person reads to stderr."""
    click.echo(f"{name}, until {invitation['expiresAt']}, shown once:", err=True)
    click.echo(invitation["url"])
