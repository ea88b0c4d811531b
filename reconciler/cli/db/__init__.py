"""Manage the database: its schema, and how to reach it."""

from __future__ import annotations

import click

from reconciler.cli.shared.command_group import LazyGroup, Room

VERBS = Room("Commands", "db", ("upgrade", "current", "check", "url", "roles"))


@click.group(cls=LazyGroup, rooms=(VERBS,), help=__doc__)
def command() -> None:
    pass
