"""`db url`: how psql reaches the database."""

from __future__ import annotations

import click

from reconciler.cli.context import require_home, settings, verb


@click.command()
@verb
def command() -> None:
    """Print the libpq URL of the owner's role, for psql. It holds the password.

    The embedded server runs only while it is used: start `up` first, or another command.
    """
    found = settings()
    if found.database_url is not None:
        click.echo(found.database_url)
        return
    from reconciler.embedded.postgres import cluster_of

    click.echo(cluster_of(require_home(found)).url())
