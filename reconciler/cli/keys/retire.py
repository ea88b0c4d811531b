"""Remove a key that no longer seals a value.

The command is refused while the key ID is the primary one or seals a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    read_settings,
    verb,
    yes_option,
)
from reconciler.cli.terminal.confirmation import confirm
from reconciler.config import require
from reconciler.core.model.text import counted
from reconciler.core.privileges import Role
from reconciler.crypto.keyring import FileKeyring, remove_key
from reconciler.errors import Refused
from reconciler.store.rewrap import sealed_by_key

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.store.db import Database


@click.command(help=__doc__)
@click.argument("key_id", metavar="ID")
@yes_option
@verb
def command(key_id: str, yes: bool) -> None:
    settings = read_settings()
    folder = require(settings.keyring, "keyring")
    if key_id not in FileKeyring.load(folder).ids:
        raise Refused(
            "name_unknown",
            f"the keyring holds no key {key_id!r}",
            hint="`mosaic federation keys status` shows them",
        )
    print_gateway(settings)
    with open_database(settings, "keys retire", Role.READER) as database:
        _refuse_used(database, folder, key_id)
        if not yes:
            confirm(f"Remove the key {key_id} permanently?", yes=yes)
            _refuse_used(database, folder, key_id)  # as it is by the time of the answer
        remove_key(folder, key_id)
    click.echo(f"removed {key_id}")


def _refuse_used(database: Database, folder: Path, key_id: str) -> None:
    with database.transaction() as tx:
        sealed = sealed_by_key(tx)[key_id]
    if key_id == FileKeyring.load(folder).primary:
        raise Refused(
            "key_in_service",
            f"the key {key_id!r} is the primary one",
            hint="make another key the primary one first: `mosaic federation keys rotate`",
        )
    if sealed:
        raise Refused(
            "key_in_service",
            f"the key {key_id!r} still seals {counted(sealed, 'value')}",
            hint="seal them with the primary key first: `mosaic federation keys rewrap`",
        )
