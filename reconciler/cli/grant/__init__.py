"""Manage grants: what a peer may do on behalf of a user."""

from __future__ import annotations

import click

from reconciler.cli.shared.command_group import LazyGroup, Room

VERBS = Room(
    "Commands", "grant", ("create", "list", "show", "invite", "suspend", "resume", "revoke")
)


@click.group(cls=LazyGroup, rooms=(VERBS,), help=__doc__)
def command() -> None:
    pass
