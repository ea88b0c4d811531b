"""Show the last apply, the loops, the holds and what expires soon."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.shared.context import database, say_gateway, say_next, settings, verb
from reconciler.cli.shared.formatting import away
from reconciler.cli.shared.output import output_option, print_document
from reconciler.core.model.status import ENDS_WITHIN
from reconciler.core.model.text import counted, printable
from reconciler.errors import MosaicError, Problem
from reconciler.reconcile import recover_source
from reconciler.store.views.status import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.config import Settings
    from reconciler.store.db import Database

    Line = tuple[str, str | None]  # text, and its colour


MOVE_MARK: Final = b'"crlUrlsServed"'  # stands in ca.json during a move alone


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    found = settings()
    if output == "table":
        say_gateway(found)
    with database(found, "status") as opened:
        if found.source is not None:
            recover_source(opened, found.source)
        with opened.transaction() as tx:
            document = status(tx).as_json()
        document["move"] = _move(found, opened)
    if output != "table":
        print_document(document, output)
        return
    for text, colour in _lines(document):
        say_next(click.style(printable(text, 500), fg=colour))


def _move(found: Settings, opened: Database) -> dict[str, Any] | None:
    """Return the move that a home's CA is in the middle of."""
    if found.home is None or not found.embedded:
        return None
    with suppress(OSError, MosaicError):  # `doctor` tells what is wrong with the CA
        if MOVE_MARK in (found.home.ca / "ca.json").read_bytes():
            from reconciler.operations.placement import move_facts, places_in_home

            return move_facts(places_in_home(found), opened)
    return None


def _lines(found: dict[str, Any]) -> Iterator[Line]:
    yield from _applied(found["applied"])
    if found["move"] is not None:
        former = ", ".join(found["move"]["from"])
        told = (
            f"peers look for {found['move']['to']} at {former} too, until {found['move']['until']}"
        )
        yield f"move          {told} at the latest", "yellow"
    yield from _paused(found["paused"])
    for each in found["reconcilers"]:
        yield from _reconciler(each)
    yield from _drift(found["drift"])
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
        yield "              go on with: `mosaic federation resume`", None


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


def _drift(drift: dict[str, Any]) -> Iterator[Line]:
    if drift["count"]:
        what = counted(drift["count"], "object")
        yield f"drift         {what} changed in the database by hand", "yellow"
        yield f"              show with: {drift['next']}", None


def _reconciler(each: dict[str, Any]) -> Iterator[Line]:
    failure, waiting = each["failure"], each["waiting"]
    silent = ": it no longer runs, or cannot reach the database" if each["silent"] else ""
    told = f"{each['actor']}, last pass {away(each['at'])}{silent}"
    yield f"reconciler    {told}", "yellow" if silent else None
    if failure is not None:
        yield f"              fails since {away(failure['since'])}: {failure['message']}", "red"
        for problem in failure["problems"]:
            yield f"              {Problem(**problem)}", "red"
        more = failure["problemCount"] - len(failure["problems"])
        if more > 0:
            yield f"              and {more:,} more: `mosaic federation validate` lists them", None
        yield f"              {failure['hint']}", None
    if waiting is None and each["watch"] is not None:
        yield "              it was stopped", None
    elif waiting is not None and not each["silent"]:
        yield f"              {_waiting(each, waiting)}", None


def _waiting(each: dict[str, Any], waiting: dict[str, str]) -> str:
    """Return what a reconciler waits for, as people read it."""
    left = away(waiting["until"])
    due = left.endswith(" ago")  # it is under way, or about to begin
    by_timer = "a pass is due" if due else f"next pass {left}"
    source = f"{each['source']} ({each['watch']})"
    match waiting["for"]:
        case "retry":
            return by_timer if due else f"tries again {left}"
        case "resume":
            return f"waits for `mosaic federation resume`; {by_timer}"
        case "person":
            return f"waits for a person, or a change of {source}; {by_timer}"
        case _:
            return f"waits for a change of {source}; {by_timer}"
