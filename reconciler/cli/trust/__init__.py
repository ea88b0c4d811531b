"""Show whether commits are signed as the rules of trust require."""

from __future__ import annotations

from reconciler.cli.shared.command_group import verb_group

command = verb_group("trust", ("check",), __doc__)
