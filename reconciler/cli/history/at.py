"""Show what was granted to whom at a given time.

TIME is an RFC 3339 time, a date, or a duration ago such as 2h. A date is its first moment in UTC.
The answer comes from the audit log alone, which is verified up to that time. If those records are
archived, name the archives with --archive, from the first one on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.shared.context import archive_option, read_settings, read_transaction, verb
from reconciler.cli.shared.moments import MomentType, absolute
from reconciler.cli.shared.output import output_option, print_document, show_list
from reconciler.core.model.times import rfc3339
from reconciler.operations.audit.archive_files import archived_records
from reconciler.store.audit.moment import state_at

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

COLUMNS = (
    ("GRANT", lambda row: str(row["name"])),
    ("PEER", lambda row: str(row["peer"])),
    ("SUBJECT USER", lambda row: str(row["subjectUserId"])),
    ("STATUS", lambda row: str(row["status"])),
    ("MAY", lambda row: _may(row["scope"])),
    ("EXPIRES", lambda row: str(row["expiresAt"])),
    ("CERTIFICATES", lambda row: ", ".join(c["serial"] for c in row["certificates"]) or "-"),
)


@click.command(help=__doc__)
@click.argument("moment", type=MomentType(), metavar="TIME")
@archive_option
@output_option
@verb
def command(moment: datetime | timedelta, archives: tuple[Path, ...], output: str) -> None:
    with read_transaction(read_settings(), "at") as tx:
        when = absolute(tx, moment, "TIME")
        archived = archived_records(tx, archives) if archives else None
        document = {"at": rfc3339(when), **state_at(tx, when, archived)}
    if output != "table":
        print_document(document, output)
        return
    click.echo(f"at {document['at']}; verified up to record {document['seq']:,}", err=True)
    for kind in document["unread"]:
        click.echo(
            f"{kind}: records of an earlier version, which name no row, are left out", err=True
        )
    show_list(document["grants"], COLUMNS, output, "no grant existed")


def _may(scope: dict[str, Any]) -> str:
    return ", ".join(f"{each['type']}:{'+'.join(each['verbs'])}" for each in scope["resources"])
