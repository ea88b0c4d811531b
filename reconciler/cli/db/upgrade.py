"""`db upgrade`: the migrations that are missing."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import opened_source, say_gateway, settings, verb
from reconciler.store.db import Database
from reconciler.store.locks import application_name
from reconciler.store.migrate import upgrade


@click.command()
@verb
def command() -> None:
    """Run the migrations that are missing, each in one transaction; safe to run twice at once."""
    found = settings()
    say_gateway(found)
    with opened_source(found) as source:
        done = upgrade(Database(source, application_name("db upgrade")))
    click.echo(f"the database is at migration {done.current}")
