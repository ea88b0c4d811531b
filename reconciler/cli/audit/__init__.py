"""Read and archive the audit log, and verify it."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group("audit", ("list", "ack", "checkpoint", "verify", "archive"), __doc__)
