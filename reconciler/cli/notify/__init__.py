"""Manage notices to people and forges, and show their delivery."""

from __future__ import annotations

import click

from reconciler.cli.shared.command_group import LazyGroup, Room

VERBS = Room("Commands", "notify", ("list", "test"))


@click.group(cls=LazyGroup, rooms=(VERBS,), help=__doc__)
def command() -> None:
    pass
