"""Run the migrations that are missing.

Each migration is one transaction. It is safe to run the command twice at the same time.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import print_gateway, read_settings, running_database, verb
from reconciler.store.db import Database
from reconciler.store.locks import application_name
from reconciler.store.migrate import upgrade


@click.command(help=__doc__)
@verb
def command() -> None:
    settings = read_settings()
    print_gateway(settings)
    with running_database(settings) as source:
        done = upgrade(Database(source, application_name("db upgrade")))
    click.echo(f"the database is at migration {done.current}")
