"""`peer`: remote gateways, those that call us and those that we call."""

from __future__ import annotations

import click

from reconciler.cli.main import LazyGroup

VERBS = {
    "add": ("peer_add", "Use an invitation: enroll with another gateway."),
    "list": ("peer_list", "List peers, in every state, what lives first."),
    "show": ("peer_show", "Show one peer."),
    "revoke": ("peer_revoke", "End a peer and its grants, whatever git says."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def command() -> None:
    """Peers: remote gateways."""
