"""Print the URL of the database, for psql.

The URL contains the password. It is MOSAIC_DATABASE_URL, or in a home the URL of the owner of the
tables, who can change everything in the database.

The embedded server runs only while it is used: start `up` or another command first.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import read_settings, require_home, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.config import database_source
from reconciler.core.privileges import OWNER


@click.command(help=__doc__)
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    settings = read_settings()
    source = database_source(settings)
    if source is None:
        from reconciler.embedded.postgres.home_server import cluster_of
        from reconciler.embedded.postgres.logins import login_url

        home = require_home(settings)
        url = login_url(home, cluster_of(home), OWNER)
    else:
        from reconciler.store.connection.conninfo import parse_conninfo

        url = source if isinstance(source, str) else source()
        parse_conninfo(url)
    if output != "text":
        print_document({"url": url}, output)
    else:
        click.echo(url)
