"""Show the last apply, the loops, the holds and what expires soon."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.shared.context import (
    home_given,
    open_database,
    print_gateway,
    read_settings,
    verb,
)
from reconciler.cli.shared.formatting import away
from reconciler.cli.shared.invocation import with_home
from reconciler.cli.shared.output import document_text, json_line, output_option
from reconciler.cli.shared.watch import at_terminal, redraw, repeat, watch_option
from reconciler.cli.terminal.table import clip, terminal_width
from reconciler.core.model.status_document import ENDS_WITHIN
from reconciler.core.model.text import counted, printable
from reconciler.core.privileges import Role
from reconciler.errors import MosaicError, Problem
from reconciler.store.rollback_journal import recover_source
from reconciler.store.views.status import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.config import Settings
    from reconciler.store.db import Database

    Line = tuple[str, str | None]  # text, and its colour


MAX_SIGNALS: Final = 20  # theft signals that are shown one by one
MOVE_MARK: Final = b'"crlUrlsServed"'  # stands in ca.json during a move alone


@click.command(help=__doc__)
@watch_option
@output_option
@verb
def command(watch: bool, output: str) -> None:
    settings = read_settings()
    if output == "table":
        print_gateway(settings)
    previous: dict[str, Any] | None = None

    def step() -> bool:
        nonlocal previous
        document = _read(settings, database)
        if watch and output == "table" and at_terminal():
            redraw(
                [_styled(text, colour, width=terminal_width()) for text, colour in _lines(document)]
            )
        elif previous is None or previous | {"now": None} != document | {"now": None}:
            _print(document, output, watch=watch)
        previous = document
        return False

    with open_database(settings, "status", Role.READER, lasting=watch) as database:
        if watch:
            repeat(step)
        else:
            step()


def _read(settings: Settings, database: Database) -> dict[str, Any]:
    if settings.source is not None:
        recover_source(database, settings.source)
    with database.transaction() as tx:
        document = status(tx).as_json()
    document["move"] = _move(settings, database)
    document["checkpoint"] = _checkpoint(settings)
    return document


def _checkpoint(settings: Settings) -> dict[str, Any] | None:
    """Return the newest checkpoint of the folder that the settings name."""
    if settings.checkpoint_dir is None:
        return None
    from reconciler.loops.checkpoints import newest_file

    newest = newest_file(settings.checkpoint_dir)
    return newest.as_json() if newest is not None else None


def _print(document: dict[str, Any], output: str, *, watch: bool) -> None:
    if output == "table":
        for text, colour in _lines(document):
            click.echo(_styled(text, colour))
        if watch:
            click.echo()  # between two states
    elif output == "json" and watch:
        click.echo(json_line(document))
    else:
        separator = "---\n" if watch else ""
        click.echo(f"{separator}{document_text(document, output)}")


def _styled(text: str, colour: str | None, width: int | None = None) -> str:
    shown = with_home(printable(text, 500), home_given())
    return click.style(shown if width is None else clip(shown, width), fg=colour)


def _move(settings: Settings, database: Database) -> dict[str, Any] | None:
    """Return the move that a home's CA is in the middle of."""
    if settings.home is None or not settings.embedded:
        return None
    with suppress(OSError, MosaicError):  # `doctor` reports what is wrong with the CA
        if MOVE_MARK in (settings.home.ca / "ca.json").read_bytes():
            from reconciler.operations.placement import move_facts, places_in_home

            return move_facts(places_in_home(settings), database)
    return None


def _lines(document: dict[str, Any]) -> Iterator[Line]:
    yield from _restore(document["restore"])
    yield from _theft_signals(document["theftSignals"])
    yield from _applied(document["applied"])
    yield from _override(document["trustOverride"])
    if document["move"] is not None:
        former = ", ".join(document["move"]["from"])
        until = document["move"]["until"]
        text = f"peers look for {document['move']['to']} at {former} too, until {until}"
        yield f"move          {text} at the latest", "yellow"
    yield from _paused(document["paused"])
    for each in document["reconcilers"]:
        yield from _reconciler(each)
    yield from _drift(document["drift"])
    if (newest := document["checkpoint"]) is not None:
        text = f"seq {newest['seq']:,}, {away(newest['at'])}, {newest['file']}"
        yield f"checkpoint    {text}", None
    for what, counts in document["counts"].items():
        text = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "none"
        yield f"{what:<13} {text}", None
    yield from _at_the_ca(document)
    yield from _outbound(document["outbound"])
    yield from _notices(document["notices"])
    for each in document["ending"]:
        named = f"{each['kind']} {each['name']}"
        text = f"within {counted(each['withinDays'], 'day')}"
        soon = each["kind"] == "grant" and each["withinDays"] == ENDS_WITHIN[0]
        colour = "red" if soon or each["ends"] <= document["now"] else None
        yield f"ends          {text:<15} {named:<40} {away(each['ends'])}", colour
    for each in document["held"]:
        hold = each["hold"]
        named = f"{each['kind']}/{each['name']}"
        yield f"held          {named}: {hold['kind']} by {hold['by']}: {hold['reason']}", "yellow"
    for each in document["unused"]:
        last = f"last used {away(each['lastUse'])}" if each["lastUse"] else "never used"
        yield (
            f"unused        grant {each['name']}: {last}, active since {each['activatedAt'][:10]}",
            None,
        )
    for each in document["notInGitYet"]:
        yield f"not in git    {each['kind']}/{each['name']}", None


def _restore(restore: dict[str, str | None] | None) -> Iterator[Line]:
    if restore is not None:
        who = f", {away(restore['at'])}, by {restore['by']}" if restore["at"] is not None else ""
        yield f"not serving   {restore['message']}{who}", "red"
        yield f"              {restore['next']}", None


def _theft_signals(signals: list[dict[str, Any]]) -> Iterator[Line]:
    for each in signals[:MAX_SIGNALS]:
        text = f"grant/{each['grant']}: {each['secret']} was used with another key"
        text += f" from {each['address']} {away(each['firstAt'])}"
        text += f", and {counted(each['repeats'], 'more time')}" if each["repeats"] else ""
        yield f"theft?        {text}", "red"
        if each["seq"] is not None:
            ack = f"`mosaic federation audit ack {each['seq']}`"
            yield f"              when you have dealt with it: {ack}", None
    if len(signals) > MAX_SIGNALS:
        more = len(signals) - MAX_SIGNALS
        yield f"              and {more:,} more: `mosaic federation status --output json`", "red"


def _paused(pause: dict[str, str] | None) -> Iterator[Line]:
    if pause is not None:
        yield f"paused        by {pause['by']}, {away(pause['at'])}: {pause['reason']}", "yellow"
        yield "              resume with: `mosaic federation resume`", None


def _at_the_ca(document: dict[str, Any]) -> Iterator[Line]:
    waiting = document["revocationsWaiting"]
    if waiting["count"]:
        error = f": {waiting['error']}" if waiting["error"] else ""
        yield f"at the CA     {counted(waiting['count'], 'revocation')} pending{error}", "yellow"
    for each in document["revocationLists"]:
        if each["late"]:
            text = f"number {each['number']} is late: {away(each['nextUpdate'])}"
            yield f"CRL           {text}", "red"


def _outbound(troubles: list[dict[str, Any]]) -> Iterator[Line]:
    for each in troubles:
        if (withdrawn := each["withdrawn"]) is not None:
            learned = f"learned {away(withdrawn['learnedAt'])}"
            what = f"the other side has {withdrawn['what']} its grant, {learned}"
            yield f"withdrawn     peer/{each['peer']}: {what}", "yellow"
        if each["credentialError"] is not None:
            yield f"credential    peer/{each['peer']}: {each['credentialError']}", "red"


def _notices(troubles: list[dict[str, Any]]) -> Iterator[Line]:
    for each in troubles:
        if each["failing"]:
            waiting = f"{counted(each['queue'], 'notice')} waiting"
            yield f"notices       to {each['target']}: {waiting}: {each['error']}", "red"
        if each["givenUp"]:
            lost = f"{counted(each['givenUp'], 'notice')} given up"
            yield f"notices       to {each['target']}: {lost}; see `notify list`", "red"


def _applied(applied: dict[str, Any] | None) -> Iterator[Line]:
    if applied is None:
        yield "applied       nothing yet", None
        return
    text = f"{away(applied['at'])}, by {applied['actor']}, from {applied['source']}"
    yield f"applied       {text}", None
    if applied["revision"]:
        dirty = " with changes that are not committed" if applied["dirty"] else ""
        text = f"{applied['revision'][:12]} {applied['subject']} ({applied['author']}){dirty}"
        yield f"              {text}", "yellow" if dirty else None


def _override(override: dict[str, Any] | None) -> Iterator[Line]:
    if override is not None:
        revision = f" ({override['revision'][:12]})" if override["revision"] else ""
        text = f"{away(override['at'])}, by {override['by']}, from {override['source']}{revision}"
        yield f"trust         overridden {text}", "red"
        yield f"              {override['reason']}", "red"
        yield "              until an apply that is trusted", None


def _drift(drift: dict[str, Any]) -> Iterator[Line]:
    if drift["count"]:
        what = counted(drift["count"], "object")
        yield f"drift         {what} changed in the database by hand", "yellow"
        yield f"              show with: {drift['next']}", None


def _reconciler(each: dict[str, Any]) -> Iterator[Line]:
    failure, waiting = each["failure"], each["waiting"]
    silent = ": it no longer runs, or cannot reach the database" if each["silent"] else ""
    text = f"{each['actor']}, last pass {away(each['at'])}{silent}"
    yield f"reconciler    {text}", "yellow" if silent else None
    if failure is not None:
        yield f"              failing since {away(failure['since'])}: {failure['message']}", "red"
        for problem in failure["problems"]:
            yield f"              {Problem(**problem)}", "red"
        more = failure["problemCount"] - len(failure["problems"])
        if more > 0:
            yield f"              and {more:,} more: `mosaic federation validate` lists them", None
        yield f"              {failure['hint']}", None
    if waiting is None and each["watch"] is not None:
        yield "              stopped", None
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
