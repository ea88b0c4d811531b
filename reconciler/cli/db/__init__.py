"""Manage the database: its schema, and how to reach it."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group("db", ("upgrade", "current", "check", "url", "roles"), __doc__)
