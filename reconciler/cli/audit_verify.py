"""`audit verify`: the chain, entry by entry."""

from __future__ import annotations

import click

from reconciler.cli.context import database, settings, verb
from reconciler.errors import Refused
from reconciler.store.audit import verify


@click.command()
@verb
def command() -> None:
    """Check every entry of the audit log against its hash and the one before it."""
    with database(settings(), "audit verify") as opened, opened.transaction() as tx:
        count, broken = verify(tx)
    if broken is not None:
        raise Refused(
            "audit_broken",
            f"the audit log breaks at seq {broken.seq}: {broken.reason}",
            hint="entries before it verify; compare with a backup, and find out who changed it",
        )
    click.echo(f"{count:,} entries verify")
