"""Print the URL of the database, for psql.

The URL contains the password. It is MOSAIC_DATABASE_URL, or the URL of a home's own server.

The embedded server runs only while it is used: start `up` or another command first.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import read_settings, require_home, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.config import database_source


@click.command(help=__doc__)
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    settings = read_settings()
    source = database_source(settings)
    if source is None:
        from reconciler.embedded.postgres.home_server import cluster_of

        url = cluster_of(require_home(settings)).url()
    else:
        from reconciler.store.connection.conninfo import parse_conninfo

        url = source if isinstance(source, str) else source()
        parse_conninfo(url)
    if output != "text":
        print_document({"url": url}, output)
    else:
        click.echo(url)
