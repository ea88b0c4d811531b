"""`db url`: how psql reaches the database."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import require_home, settings, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.config import database_source


@click.command()
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    """Print what psql takes to reach the database. It holds the password.

    That is MOSAIC_DATABASE_URL as it is now, or the URL of a home's own server.

    The embedded server runs only while it is used: start `up` first, or another command.
    """
    found = settings()
    source = database_source(found)
    if source is None:
        from reconciler.embedded.postgres.home_server import cluster_of

        url = cluster_of(require_home(found)).url()
    else:
        from reconciler.store.connection.conninfo import parse_conninfo

        url = source if isinstance(source, str) else source()
        parse_conninfo(url)
    if output != "text":
        print_document({"url": url}, output)
    else:
        click.echo(url)
