"""Manage grants: what a peer may do on behalf of a user."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group(
    "grant", ("create", "list", "show", "invite", "suspend", "resume", "revoke"), __doc__
)
