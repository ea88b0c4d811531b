"""`keys`: the sealing keys."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "status": ("keys.status", "Show the keys, and how many values each seals."),
    "add": ("keys.add", "Make a new key; it seals nothing until `rotate`."),
    "rotate": ("keys.rotate", "Let another key seal from now on."),
    "rewrap": ("keys.rewrap", "Seal again what older keys seal."),
    "retire": ("keys.retire", "Remove a key that seals nothing."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """The sealing keys: status, add, rotate, rewrap, retire."""
