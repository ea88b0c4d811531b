"""`grant suspend`: withhold authority, whatever git says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb, wait_lock
from reconciler.cli.shared.holds import brake
from reconciler.cli.shared.output import output_option
from reconciler.store.holds import suspend_grant

if TYPE_CHECKING:
    from datetime import timedelta


@click.command()
@click.argument("name")
@click.option("--reason", default="", help="Why; it is shown wherever the hold is.")
@wait_lock
@output_option
@verb
def command(name: str, reason: str, wait: timedelta, output: str) -> None:
    """Withhold the authority of the grant NAME; its certificates stay. `grant resume` lifts it.

    Changes no manifest, and no apply undoes it.
    """
    row = brake("grant", name, lambda tx, by: suspend_grant(tx, name, by, reason), wait, output)
    if output == "table" and row["status"] == "pending":
        click.echo("  it will be suspended once its peer enrolls")
