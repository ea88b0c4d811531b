"""List grants of every status, live ones first.

A grant is expired once its `expiresAt` has passed.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.formatting import end_of, hold_of, live_certificate, status_of
from reconciler.cli.shared.listing import list_options, print_list
from reconciler.core.model.states import GrantStatus
from reconciler.store.views.grants import list_grants

COLUMNS = (
    ("NAME", lambda row: row["name"]),
    ("STATUS", status_of),
    ("PEER", lambda row: row["peer"]),
    ("SUBJECT", lambda row: row["subjectUserId"]),
    ("EXPIRES", end_of),
    ("CERTIFICATE EXPIRES", live_certificate),
    ("HELD", hold_of),
)


@click.command(help=__doc__)
@list_options("grant", GrantStatus)
@verb
def command(statuses: tuple[str, ...], live: bool, output: str) -> None:
    print_list("grant", list_grants, COLUMNS, statuses, live=live, output=output)
