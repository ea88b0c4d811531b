"""Show whether commits are signed as the rules of trust require."""

from __future__ import annotations

import click

from reconciler.cli.shared.command_group import LazyGroup, Room

VERBS = Room("Commands", "trust", ("check",))


@click.group(cls=LazyGroup, rooms=(VERBS,), help=__doc__)
def command() -> None:
    pass
