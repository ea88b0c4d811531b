"""Suspend a grant regardless of git; its certificates stay.

The command changes no manifest, and no apply undoes it. `grant resume` lifts the hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb, wait_lock
from reconciler.cli.shared.holds import change_hold, reason_option
from reconciler.cli.shared.names import name_argument
from reconciler.cli.shared.output import output_option
from reconciler.core.model.spec import Kind
from reconciler.core.model.states import GrantStatus
from reconciler.store.holds import suspend_grant

if TYPE_CHECKING:
    from datetime import timedelta


@click.command(help=__doc__)
@name_argument(Kind.GRANT)
@reason_option
@wait_lock
@output_option
@verb
def command(name: str, reason: str, wait: timedelta, output: str) -> None:
    grant = change_hold(
        "grant", name, lambda tx, actor: suspend_grant(tx, name, actor, reason), wait, output
    )
    if output == "table" and grant.status == GrantStatus.PENDING:
        click.echo("  it will be suspended once its peer enrolls")
