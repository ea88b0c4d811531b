"""`status`: what was applied, what fails, what is paused or held, and what ends soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import database, say_gateway, settings, verb
from reconciler.cli.output import output_option, print_document
from reconciler.cli.people import away
from reconciler.core.text import printable
from reconciler.core.words import counted
from reconciler.store.status import ENDS_WITHIN, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    Line = tuple[str, str | None]  # text, and its colour


@click.command()
@output_option
@verb
def command(output: str) -> None:
    """Show the state of the gateway: the last apply, the loops, holds, and what ends soon."""
    found = settings()
    if output == "table":
        say_gateway(found)
    with database(found, "status") as opened, opened.transaction() as tx:
        document = status(tx)
    if output != "table":
        print_document(document, output)
        return
    for text, colour in _lines(document):
        click.echo(click.style(printable(text, 500), fg=colour))


def _lines(found: dict[str, Any]) -> Iterator[Line]:
    yield from _applied(found["applied"])
    yield from _paused(found["paused"])
    for each in found["reconcilers"]:
        yield from _reconciler(each)
    for what, counts in found["counts"].items():
        told = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "none"
        yield f"{what:<13} {told}", None
    yield from _at_the_ca(found)
    for each in found["ending"]:
        named = f"{each['kind']} {each['name']}"
        told = f"within {counted(each['withinDays'], 'day')}"
        soon = each["kind"] == "grant" and each["withinDays"] == ENDS_WITHIN[0]
        colour = "red" if soon or each["ends"] <= found["now"] else None
        yield f"ends          {told:<15} {named:<40} {away(each['ends'])}", colour
    for each in found["held"]:
        hold = each["hold"]
        named = f"{each['kind']}/{each['name']}"
        yield f"held          {named}: {hold['kind']} by {hold['by']}: {hold['reason']}", "yellow"
    for each in found["notInGitYet"]:
        yield f"not in git    {each['kind']}/{each['name']}", None


def _paused(pause: dict[str, str] | None) -> Iterator[Line]:
    if pause is not None:
        yield f"paused        by {pause['by']}, {away(pause['at'])}: {pause['reason']}", "yellow"
        yield "              go on with: mosaic federation resume", None


def _at_the_ca(found: dict[str, Any]) -> Iterator[Line]:
    waiting = found["revocationsWaiting"]
    if waiting["count"]:
        error = f": {waiting['error']}" if waiting["error"] else ""
        yield f"at the CA     {counted(waiting['count'], 'revocation')} to tell{error}", "yellow"
    for each in found["revocationLists"]:
        if each["late"]:
            told = f"number {each['number']} is late: {away(each['nextUpdate'])}"
            yield f"CRL           {told}", "red"


def _applied(applied: dict[str, Any] | None) -> Iterator[Line]:
    if applied is None:
        yield "applied       nothing yet", None
        return
    told = f"{away(applied['at'])}, by {applied['actor']}, from {applied['source']}"
    yield f"applied       {told}", None
    if applied["revision"]:
        dirty = " with changes that are not committed" if applied["dirty"] else ""
        told = f"{applied['revision'][:12]} {applied['subject']} ({applied['author']}){dirty}"
        yield f"              {told}", "yellow" if dirty else None


def _reconciler(each: dict[str, Any]) -> Iterator[Line]:
    failure = each["failure"]
    silent = ": it no longer runs, or cannot reach the database" if each["silent"] else ""
    told = f"{each['actor']}, last pass {away(each['at'])}{silent}"
    yield f"reconciler    {told}", "yellow" if silent else None
    if failure is not None:
        yield f"              fails since {away(failure['since'])}: {failure['message']}", "red"
        yield f"              {failure['hint']}", None
