"""Manage peers: the other gateways."""

from __future__ import annotations

import click

from reconciler.cli.shared.command_group import LazyGroup, Room

VERBS = Room("Commands", "peer", ("add", "list", "show", "credentials", "revoke"))


@click.group(cls=LazyGroup, rooms=(VERBS,), help=__doc__)
def command() -> None:
    pass
