"""Show the sealing keys and how many values each of them seals.

The primary key is the one that seals new values. The command exits with 78 if a key that seals a
value is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.shared.context import read_settings, read_transaction, verb
from reconciler.cli.shared.output import list_output, show_list
from reconciler.config import require
from reconciler.crypto.keyring import FileKeyring
from reconciler.operations.gateway_files import require_every_key
from reconciler.store.rewrap import sealed_by_key

if TYPE_CHECKING:
    from collections import Counter

COLUMNS = (
    ("ID", lambda row: row["id"]),
    ("PRIMARY", lambda row: "yes" if row["primary"] else "no"),
    ("SEALED", lambda row: str(row["sealed"])),
)


@click.command(help=__doc__)
@list_output
@verb
def command(output: str) -> None:
    settings = read_settings()
    folder = require(settings.keyring, "keyring")
    keys = FileKeyring.load(folder)
    with read_transaction(settings, "keys status") as tx:
        sealed = sealed_by_key(tx)
    show_list(key_rows(keys, sealed), COLUMNS, output, "there are no keys")
    require_every_key(keys, sealed, folder)


def key_rows(keys: FileKeyring, sealed: Counter[str]) -> list[dict[str, Any]]:
    """Return an object a key: `{id, primary, sealed}`."""
    return [
        {"id": each, "primary": each == keys.primary, "sealed": sealed[each]} for each in keys.ids
    ]
