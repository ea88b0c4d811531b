"""Show the migration of the database and the newest known one."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import read_settings, running_database, verb
from reconciler.cli.shared.output import output_option, show_facts
from reconciler.core.privileges import Role
from reconciler.store.db import Database
from reconciler.store.locks import application_name
from reconciler.store.schema import revisions


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    with (
        running_database(read_settings(), Role.READER) as source,
        Database(source, application_name("db current")).transaction() as tx,
    ):
        migrations = revisions(tx)
    facts = {
        "current": migrations.current,
        "head": migrations.head,
        "upToDate": migrations.up_to_date,
    }
    show_facts(facts, output)
