"""Make another key the primary one, which seals new values.

Without ID, a new key is created. Values that are sealed already stay as they are.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import print_hint, read_settings, verb
from reconciler.config import require
from reconciler.crypto.keyring import FileKeyring, add_key, make_primary
from reconciler.errors import Refused


@click.command(help=__doc__)
@click.argument("key_id", metavar="[ID]", required=False)
@verb
def command(key_id: str | None) -> None:
    folder = require(read_settings().keyring, "keyring")
    keys = FileKeyring.load(folder)
    if key_id is not None and key_id not in keys.ids:
        raise Refused(
            "name_unknown",
            f"the keyring holds no key {key_id!r}",
            hint="`mosaic federation keys status` shows them",
        )
    click.echo(f"acting on the keyring in {folder}", err=True)
    chosen = key_id or add_key(folder)
    make_primary(folder, chosen)
    click.echo(f"{chosen} is the primary key now")
    print_hint("  next: back the keyring up, then `mosaic federation keys rewrap`")
