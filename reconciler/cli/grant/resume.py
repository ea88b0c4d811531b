"""Lift the hold of `grant suspend` or `grant revoke`.

A revoked grant stays revoked. If git still declares it, the next apply creates a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb, wait_lock
from reconciler.cli.shared.holds import brake
from reconciler.cli.shared.output import output_option
from reconciler.store.holds import resume_grant

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.store.db import Tx


@click.command(help=__doc__)
@click.argument("name")
@wait_lock
@output_option
@verb
def command(name: str, wait: timedelta, output: str) -> None:
    def act(tx: Tx, by: str) -> None:
        resume_grant(tx, name, by)

    row = brake("grant", name, act, wait, output)
    if output != "table":
        return
    if row["status"] == "revoked":
        click.echo("  the next apply creates it anew, where git declares it")
    elif row["suspended"]:
        click.echo("  its manifest suspends it: set spec.suspended to false in git")
