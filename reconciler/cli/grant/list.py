"""List grants of every status, live ones first.

A grant is expired once its `expiresAt` has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.formatting import ORIGIN, end_of, hold_of, live_certificate, status_of
from reconciler.cli.shared.listing import Listing, ListOptions, list_options
from reconciler.cli.shared.moments import DURATION
from reconciler.cli.shared.names import completing
from reconciler.core.model.spec import Kind
from reconciler.core.model.states import GrantStatus
from reconciler.store.views.grants import GrantFilter, stream_grants

if TYPE_CHECKING:
    from datetime import timedelta

COLUMNS = (
    ("NAME", lambda row: row["name"]),
    ("STATUS", status_of),
    ("PEER", lambda row: row["peer"]),
    ("SUBJECT", lambda row: row["subjectUserId"]),
    ("EXPIRES", end_of),
    ("CERTIFICATE EXPIRES", live_certificate),
    ("HELD", hold_of),
)


WIDE = (
    (
        "MAY",
        lambda row: "; ".join(
            f"{' '.join(each['verbs'])} {each['type']}" for each in row["scope"]["resources"]
        ),
    ),
    ("MAX ROWS", lambda row: str(row["scope"]["maxRowsPerQuery"])),
    ("ID", lambda row: row["id"]),
    *ORIGIN,
)


@click.command(help=__doc__)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    shell_complete=completing(Kind.PEER),
    help="Only grants of this peer; may be given again.",
)
@click.option("--subject", "subjects", multiple=True, help="Only grants of this subject user.")
@click.option(
    "--ends-within",
    type=DURATION,
    help="Only live grants that expire within this time, such as 30d.",
)
@list_options("grant", GrantStatus)
@verb
def command(
    peers: tuple[str, ...],
    subjects: tuple[str, ...],
    ends_within: timedelta | None,
    options: ListOptions,
) -> None:
    only = GrantFilter("", options.statuses, peers, subjects, ends_within)
    filtered = only != GrantFilter("", options.statuses)
    listing = Listing("grant", COLUMNS, WIDE, options, filtered=filtered)
    listing.print(lambda tx: stream_grants(tx, only))
