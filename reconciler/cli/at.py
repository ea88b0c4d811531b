"""`at`: what was granted to whom at a moment, from the audit log alone."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import database, settings, verb
from reconciler.cli.output import output_option, print_document, show_list
from reconciler.core.times import parse_duration, parse_rfc3339, rfc3339
from reconciler.store.history import state_at

if TYPE_CHECKING:
    from reconciler.store.tx import Tx

COLUMNS = (
    ("GRANT", lambda row: str(row["name"])),
    ("PEER", lambda row: str(row["peer"])),
    ("SUBJECT USER", lambda row: str(row["subjectUserId"])),
    ("STATUS", lambda row: str(row["status"])),
    ("MAY", lambda row: _may(row["scope"])),
    ("EXPIRES", lambda row: str(row["expiresAt"])),
    ("CERTIFICATES", lambda row: ", ".join(c["serial"] for c in row["certificates"]) or "-"),
)


class _MomentType(click.ParamType["datetime | timedelta"]):
    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        for read in (parse_rfc3339, parse_duration):
            with suppress(ValueError):
                found: datetime | timedelta = read(str(value))
                return found
        return self.fail(
            f"got {value!r}, expected a time such as 2026-11-25T10:00:00Z, or 2h for two hours ago",
            param,
            ctx,
        )


@click.command()
@click.argument("moment", type=_MomentType(), metavar="TIME")
@output_option
@verb
def command(moment: datetime | timedelta, output: str) -> None:
    """Show what was granted to whom at TIME (RFC 3339, or a duration ago such as 2h).

    It is told by the audit log alone, which is verified up to that moment on the way.
    """
    with database(settings(), "at") as opened, opened.transaction() as tx:
        when = _absolute(tx, moment)
        found = {"at": rfc3339(when), **state_at(tx, when)}
    if output != "table":
        print_document(found, output)
        return
    click.echo(f"at {found['at']}, by {found['seq']:,} entries that verify", err=True)
    for kind in found["unread"]:
        click.echo(f"entries of {kind} from before names of rows are not read", err=True)
    show_list(found["grants"], COLUMNS, output, "nothing was granted to anybody")


def _absolute(tx: Tx, moment: datetime | timedelta) -> datetime:
    return tx.now() - moment if isinstance(moment, timedelta) else moment.astimezone(UTC)


def _may(scope: dict[str, Any]) -> str:
    return ", ".join(f"{each['type']}:{'+'.join(each['verbs'])}" for each in scope["resources"])
