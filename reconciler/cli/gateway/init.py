"""Create an embedded gateway in .mosaic/.

The folder holds the keys, the certificate authority, PostgreSQL and the settings. The values of
flags and variables are written into its mosaic.toml. It is safe to run the command again: it
completes what was interrupted and changes nothing that is complete.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import print_hint, read_settings, source_option, verb
from reconciler.config import unstored_texts
from reconciler.config.document import read_document, stored_line
from reconciler.config.home import Home
from reconciler.embedded.init import FIXED, create_home
from reconciler.embedded.stepca.install import find_step_ca
from reconciler.errors import Refused
from reconciler.operations.placement import port_warning

if TYPE_CHECKING:
    from reconciler.config import Settings


@click.command(help=__doc__)
@click.option("--public-url", metavar="URL", help="The URL under which peers reach the gateway.")
@click.option("--listen", metavar="HOST:PORT", help="The address to listen on.")
@click.option(
    "--oid-arc",
    metavar="OID",
    help="The arc of the OIDs in certificates. It cannot be changed later.",
)
@click.option(
    "--postgres-bin", metavar="DIR", help="The folder of the programs of PostgreSQL 15 or later."
)
@source_option
@verb
def command(
    public_url: str | None, listen: str | None, oid_arc: str | None, postgres_bin: str | None
) -> None:
    settings = read_settings(
        making_home=True,
        public_url=public_url,
        listen=listen,
        oid_arc=oid_arc,
        postgres_bin=postgres_bin,
    )
    made = make_home(settings)
    if made is None:
        _refuse_unstored(settings)
        click.echo(f"{settings.home_path.resolve()} is complete already; nothing was changed")
        return
    first = ""
    if made.source is not None and not made.source.is_git:
        folder = os.path.relpath(made.source.location)
        first = f"put manifests into {shlex.quote(folder)}/, then "
    print_hint(f"  next: {first}`mosaic federation up`")


def _refuse_unstored(settings: Settings) -> None:
    """Refuse flags that a complete home does not take; a variable holds beside its file."""
    home = Home(settings.home_path.resolve())
    has = read_document(home)
    for name, text in unstored_texts(settings).items():
        flag = settings.assigned[name].origin
        if name in FIXED or not flag.startswith("--"):
            continue
        if name not in has or has[name].text != text:
            raise Refused(
                "state_conflict",
                f"{flag} {text} comes too late: {home.path} is complete, and nothing was changed",
                hint=f"write it into {home.config}: `{stored_line(name, text)}`",
            )


def make_home(settings: Settings) -> Settings | None:
    """Make the home of these settings, and say so; return None where it was complete.

    Raises:
        MosaicError: as `create_home`.
    """
    home = Home(settings.home_path.resolve(), settings.postgres_bin)
    if not home.config.is_file():
        what = "keys, certificate authority, database (several seconds)"
        click.echo(f"creating a gateway in {home.path}: {what}", err=True)
    if not create_home(home, unstored_texts(settings)):
        return None
    click.echo(f"made a gateway in {home.path}")
    made = read_settings(making_home=True, home=str(home.path))
    if warning := port_warning(made):
        click.echo(f"  warning: {warning}", err=True)
    if find_step_ca() is None:
        click.echo("  install step-ca first: `mosaic federation ca install`")
    return made
