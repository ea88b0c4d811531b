"""Lift the hold of `grant suspend` or `grant revoke`.

A revoked grant stays revoked. If git still declares it, the next apply creates a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import verb, wait_lock
from reconciler.cli.shared.holds import change_hold
from reconciler.cli.shared.names import name_argument
from reconciler.cli.shared.output import output_option
from reconciler.core.model.documents import GrantView
from reconciler.core.model.spec import Kind
from reconciler.core.model.states import GrantStatus
from reconciler.store.holds import resume_grant

if TYPE_CHECKING:
    from datetime import timedelta


@click.command(help=__doc__)
@name_argument(Kind.GRANT)
@wait_lock
@output_option
@verb
def command(name: str, wait: timedelta, output: str) -> None:
    grant = change_hold(
        "grant", name, lambda tx, actor: resume_grant(tx, name, actor), wait, output
    )
    if output != "table":
        return
    if grant.status == GrantStatus.REVOKED:
        click.echo("  the next apply creates it again if git declares it")
    elif isinstance(grant, GrantView) and grant.suspended:
        click.echo("  its manifest suspends it: set spec.suspended to false in git")
