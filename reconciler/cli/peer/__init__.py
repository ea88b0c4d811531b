"""Manage peers: the other gateways."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group("peer", ("add", "list", "show", "credentials", "revoke"), __doc__)
