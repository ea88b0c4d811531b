"""Revoke a peer and all of its grants permanently.

The key of an outbound peer is erased. No peer of that name is created again until its manifest is
removed from git.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.holds import change_hold, revoke_options
from reconciler.core.model.spec import Kind
from reconciler.store.holds import revoke_peer

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.store.db import Tx


@click.command(help=__doc__)
@revoke_options(Kind.PEER)
@verb
def command(name: str, reason: str, yes: bool, wait: timedelta, output: str) -> None:
    question = "" if yes else f"Revoke peer {name}, its grants and their certificates permanently?"

    def revoke(tx: Tx, actor: str) -> None:
        revoke_peer(tx, name, actor, reason)

    change_hold("peer", name, revoke, wait, output, question=question)
