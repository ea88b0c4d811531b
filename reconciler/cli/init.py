"""`init`: make an embedded gateway, or complete one that was interrupted."""

from __future__ import annotations

import click

from reconciler.cli.context import settings_for_new_home, verb
from reconciler.embedded.home import Home
from reconciler.embedded.init import create_home


@click.command()
@click.option("--public-url", metavar="URL", help="The URL under which peers reach it; fixed.")
@click.option("--oid-arc", metavar="OID", help="The arc of the OIDs in certificates; fixed.")
@verb
def command(public_url: str | None, oid_arc: str | None) -> None:
    """Make an embedded gateway in .mosaic/: keys, certificate authority, PostgreSQL, settings.

    Safe to run again: it completes what was interrupted, and changes nothing that is complete.
    """
    found = settings_for_new_home(public_url=public_url, oid_arc=oid_arc)
    home = Home(found.home_path.resolve())
    made = create_home(
        home,
        public_url=found.public_url if public_url else None,
        oid_arc=found.oid_arc if oid_arc else None,
    )
    if not made:
        click.echo(f"{home.path} is complete already; nothing was changed")
        return
    click.echo(f"made a gateway in {home.path}")
    click.echo("  next: put manifests into manifests/, then `mosaic federation up`")
