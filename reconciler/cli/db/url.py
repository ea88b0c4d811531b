"""Print the URL of the database, for psql.

The URL contains the password. It is MOSAIC_DATABASE_URL, or in a home the URL of the owner of the
tables, who can change everything in the database.

The embedded server runs only while it is used: start `up` or another command first.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import database_location, read_settings, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.core.privileges import OWNER
from reconciler.store.connection.conninfo import parse_conninfo


@click.command(help=__doc__)
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    source = database_location(read_settings(), OWNER)
    url = source if isinstance(source, str) else source()
    parse_conninfo(url)
    if output != "text":
        print_document({"url": url}, output)
    else:
        click.echo(url)
