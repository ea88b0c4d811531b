"""`db url`: how psql reaches the database."""

from __future__ import annotations

import click

from reconciler.cli.context import require_home, settings, verb
from reconciler.cli.output import output_choice, print_document


@click.command()
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(output: str) -> None:
    """Print the libpq URL of the owner's role, for psql. It holds the password.

    The embedded server runs only while it is used: start `up` first, or another command.
    """
    found = settings()
    url = found.database_url
    if url is None:
        from reconciler.embedded.postgres import cluster_of

        url = cluster_of(require_home(found)).url()
    if output != "text":
        print_document({"url": url}, output)
    else:
        click.echo(url)
