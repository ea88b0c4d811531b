"""Show a grant.

This is the live grant NAME, or the one that ended last.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database, settings, verb
from reconciler.cli.shared.output import output_option, show_facts
from reconciler.store.views.grants import show_grant


@click.command(help=__doc__)
@click.argument("name")
@output_option
@verb
def command(name: str, output: str) -> None:
    found = settings()
    with database(found, "grant show") as opened, opened.transaction() as tx:
        row = show_grant(tx, name)
    show_facts(row, output)
