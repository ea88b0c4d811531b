"""Manage the certificate authority: its files and its program."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group("ca", ("init", "install", "move", "status"), __doc__)
