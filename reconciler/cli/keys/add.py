"""Create a sealing key.

It seals nothing until `keys rotate`. Copy it to every replica and back it up before that.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import print_hint, read_settings, verb
from reconciler.config import require
from reconciler.crypto.keyring import FileKeyring, add_key


@click.command(help=__doc__)
@verb
def command() -> None:
    folder = require(read_settings().keyring, "keyring")
    FileKeyring.load(folder)
    click.echo(f"acting on the keyring in {folder}", err=True)
    added = add_key(folder)
    click.echo(f"added {added}")
    print_hint(f"  next: back the keyring up, then `mosaic federation keys rotate {added}`")
