"""`peer`: remote gateways, those that call us and those that we call."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "add": ("peer.add", "Use an invitation: enroll with another gateway."),
    "list": ("peer.list", "List peers, in every state, what lives first."),
    "show": ("peer.show", "Show one peer."),
    "revoke": ("peer.revoke", "End a peer and its grants, whatever git says."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """Peers: remote gateways."""
