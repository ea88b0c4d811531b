"""Revoke a grant and its certificates permanently.

No grant of that name is created again until `grant resume`, or until its manifest is removed from
git.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.holds import change_hold, revoke_options
from reconciler.core.model.spec import Kind
from reconciler.store.holds import revoke_grant

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.store.db import Tx


@click.command(help=__doc__)
@revoke_options(Kind.GRANT)
@verb
def command(name: str, reason: str, yes: bool, wait: timedelta, output: str) -> None:
    question = "" if yes else f"Revoke grant {name} and its certificates permanently?"

    def revoke(tx: Tx, actor: str) -> None:
        revoke_grant(tx, name, actor, reason)

    change_hold("grant", name, revoke, wait, output, question=question)
