"""Read, verify and archive the audit log."""

from __future__ import annotations

import click

from reconciler.cli.shared.command_group import LazyGroup, Room

VERBS = Room("Commands", "audit", ("list", "ack", "checkpoint", "verify", "archive"))


@click.group(cls=LazyGroup, rooms=(VERBS,), help=__doc__)
def command() -> None:
    pass
