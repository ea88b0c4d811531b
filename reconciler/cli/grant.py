"""`grant`: what inbound peers may do."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "create": ("grant_create", "Declare a grant, apply it, and print its invitation once."),
    "list": ("grant_list", "List grants, in every state, what lives first."),
    "show": ("grant_show", "Show one grant."),
    "invite": ("grant_invite", "Mint a new invitation; the one before is void."),
    "suspend": ("grant_suspend", "Withhold a grant's authority, whatever git says."),
    "resume": ("grant_resume", "Lift what `suspend` or `revoke` holds."),
    "revoke": ("grant_revoke", "End a grant, whatever git says."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """Grants: what one inbound peer may do on behalf of one user."""
