"""Show the migration of the database and the newest known one."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import opened_source, settings, verb
from reconciler.cli.shared.output import output_option, show_facts
from reconciler.store.db import Database
from reconciler.store.locks import application_name
from reconciler.store.schema import revisions


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    with (
        opened_source(settings()) as source,
        Database(source, application_name("db current")).transaction() as tx,
    ):
        found = revisions(tx)
    facts = {"current": found.current, "head": found.head, "upToDate": found.up_to_date}
    show_facts(facts, output)
