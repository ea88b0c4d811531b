"""What commands print: tables that fit a terminal, or JSON and YAML that scripts may rely on."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import click

from reconciler.cli.terminal.table import Fit, table_lines, terminal_width
from reconciler.core.model.text import json_text as unicode_json
from reconciler.core.model.text import printable

F = TypeVar("F", bound=Callable[..., Any])
Column = tuple[str, Callable[[Mapping[str, Any]], str]]

FIT: Final = Fit(
    names=("NAME", "GRANT", "PEER", "ID", "SEQ", "OF", "WHAT", "KIND"),
    times=("AT", "EXPIRES", "CERTIFICATE EXPIRES"),
    least=("DATA", "ENDPOINT", "HELD", "DIRECTION", "CERTIFICATE EXPIRES", "SUBJECT"),
)
MAX_CELL: Final = 4096  # characters
WRITTEN_AT_ONCE: Final = 1000  # lines


def output_option(function: F) -> F:
    """Add `--output table|json|yaml`."""
    return output_choice("table", "json", "yaml", about="How it is printed; json is stable.")(
        function
    )


def list_output(function: F) -> F:
    """Add `--output` of a list."""
    about = "wide has more columns, name only names, jsonl a line each; JSON is stable."
    return output_choice("table", "wide", "name", "json", "jsonl", "yaml", about=about)(function)


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
    return unicode_json(document, indent=2) if _is_unicode() else json.dumps(document, indent=2)


def _is_unicode() -> bool:
    return codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name == "utf-8"


def json_line(document: object) -> str:
    """Return a document as one line of JSON in the encoding of standard output."""
    return unicode_json(document) if _is_unicode() else json.dumps(document)


def print_document(document: object, output: str) -> None:
    """Print a document as `json` or `yaml`."""
    click.echo(document_text(document, output))


def document_text(document: object, output: str) -> str:
    """Return a document as `json` or `yaml`."""
    if output == "yaml":
        from reconciler.manifest.write import yaml_text

        return yaml_text(document).rstrip("\n")
    return json_text(document)


def show_list(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], output: str, none: str
) -> None:
    """Print what `list_lines` returns."""
    print_lines(list_lines(rows, columns, output, none))


def print_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines, many in one write: one for each takes most of the time."""
    remaining = iter(lines)
    while part := list(islice(remaining, WRITTEN_AT_ONCE)):
        click.echo("\n".join(part), err=err)


def list_lines(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[Column],
    output: str,
    none: str,
    wide: Sequence[Column] = (),
) -> list[str]:
    """Return the lines of a list: an array, or a table; `none` says that it is empty.

    The first of the `columns` is the name of a row; `wide` are more, for the output of that name.
    """
    match output:
        case "jsonl":
            return [json_line(row) for row in rows]
        case "name":
            return [printable(columns[0][1](row), MAX_CELL) for row in rows]
        case "json" | "yaml":
            return _array(rows, output)
    body = list(rows)
    if not body:
        return [none]
    every = [*columns, *(wide if output == "wide" else ())]
    cells = [[printable(text(row), MAX_CELL) for _, text in every] for row in body]
    width = terminal_width() if output == "table" else None
    return table_lines([name for name, _ in every], cells, width, FIT)


def _array(rows: Iterable[Mapping[str, Any]], output: str) -> list[str]:
    """Return a list of documents, row by row: as text they take a tenth of the memory."""
    if output == "yaml":
        entries = [document_text([row], output) for row in rows]
        return entries or [document_text([], output)]
    lines = ["["]
    for row in rows:
        entry = json_text([row]).removeprefix("[\n").removesuffix("\n]")
        lines.append(f"{entry},")
    if len(lines) == 1:
        return [json_text([])]
    lines[-1] = lines[-1].removesuffix(",")
    return [*lines, "]"]


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
