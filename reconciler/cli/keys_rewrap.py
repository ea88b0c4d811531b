"""`keys rewrap`: seal again, under the primary key, what older ones seal."""

from __future__ import annotations

import click

from reconciler.cli.context import database, say_gateway, settings, verb
from reconciler.config import require
from reconciler.crypto.keyring import FileKeyring
from reconciler.store.locks import actor_name
from reconciler.store.sealed import rewrap_batch


@click.command()
@verb
def command() -> None:
    """Seal again under the primary key what older keys seal. Runs beside everything else.

    Interrupted, it goes on where it was.
    """
    found = settings()
    keys = FileKeyring.load(require(found.keyring, "keyring"))
    say_gateway(found)
    done = 0
    with database(found, "keys rewrap") as opened:
        while True:
            with opened.transaction() as tx:
                count = rewrap_batch(tx, keys, f"user:{actor_name()}")
            done += count
            if not count:
                break
    click.echo(f"sealed again under {keys.primary}: {done}")
