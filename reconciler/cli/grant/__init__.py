"""`grant`: what inbound peers may do."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "create": ("grant.create", "Declare a grant, apply it, and print its invitation once."),
    "list": ("grant.list", "List grants, in every state, what lives first."),
    "show": ("grant.show", "Show one grant."),
    "invite": ("grant.invite", "Mint a new invitation; the one before is void."),
    "suspend": ("grant.suspend", "Withhold a grant's authority, whatever git says."),
    "resume": ("grant.resume", "Lift what `suspend` or `revoke` holds."),
    "revoke": ("grant.revoke", "End a grant, whatever git says."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """Grants: what one inbound peer may do on behalf of one user."""
