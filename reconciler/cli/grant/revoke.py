"""Revoke a grant and its certificates for good.

No grant of that name is created again until `grant resume`, or until its manifest is removed from
git.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb, wait_lock
from reconciler.cli.shared.holds import brake
from reconciler.cli.shared.output import output_option
from reconciler.store.holds import revoke_grant

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.store.db import Tx


@click.command(help=__doc__)
@click.argument("name")
@click.option("--reason", default="", help="Why; it is shown wherever the hold is.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@wait_lock
@output_option
@verb
def command(name: str, reason: str, yes: bool, wait: timedelta, output: str) -> None:
    question = "" if yes else f"Revoke grant {name} and its certificates for good?"

    def act(tx: Tx, by: str) -> None:
        revoke_grant(tx, name, by, reason)

    brake("grant", name, act, wait, output, question=question)
