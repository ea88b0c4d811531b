"""`keys add`: a new sealing key, beside the others."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import say_next, settings, verb
from reconciler.config import require
from reconciler.crypto.keyring import FileKeyring, add_key


@click.command()
@verb
def command() -> None:
    """Make a new key. Give it to every replica, and back it up, before `keys rotate` uses it."""
    folder = require(settings().keyring, "keyring")
    FileKeyring.load(folder)
    click.echo(f"acting on the keyring in {folder}", err=True)
    added = add_key(folder)
    click.echo(f"added {added}")
    say_next(f"  next: back the keyring up, then `mosaic federation keys rotate {added}`")
