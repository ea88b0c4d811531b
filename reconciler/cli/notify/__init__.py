"""Manage notices to people and forges, and show their delivery."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group("notify", ("list", "test"), __doc__)
