"""Seal the values of older keys again, with the primary key.

The gateway can run meanwhile. After an interruption, the command continues where it stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import open_database, print_gateway, read_settings, verb
from reconciler.cli.shared.summary import tallied
from reconciler.config import require
from reconciler.core.privileges import Role
from reconciler.crypto.keyring import KeyringFolder
from reconciler.store.locks import actor_of
from reconciler.store.rewrap import FIRST, rewrap_batch

if TYPE_CHECKING:
    from uuid import UUID


@click.command(help=__doc__)
@verb
def command() -> None:
    settings = read_settings()
    keys = KeyringFolder(require(settings.keyring, "keyring"))
    print_gateway(settings)
    after: UUID | None = FIRST
    with (
        open_database(settings, "keys rewrap", Role.GATEWAY) as database,
        tallied("value") as tally,
    ):
        while after is not None:
            with database.transaction() as tx:
                count, after = rewrap_batch(tx, keys, actor_of("user"), after)
            tally.done += count
    click.echo(f"sealed again under {keys.primary}: {tally.done}")
