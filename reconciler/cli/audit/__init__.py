"""`audit`: the record of every change."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "list": ("audit.list", "Show the newest entries."),
    "checkpoint": ("audit.checkpoint", "Print what the log comes to now, to keep elsewhere."),
    "verify": ("audit.verify", "Check the chain from its first entry on."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """The audit log: an append-only hash chain."""
