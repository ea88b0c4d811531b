"""Manage the sealing keys."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group("keys", ("status", "add", "rotate", "rewrap", "retire"), __doc__)
