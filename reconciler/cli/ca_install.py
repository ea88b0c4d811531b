"""`ca install`: a step-ca on this machine."""

from __future__ import annotations

import click

from reconciler.cli.context import verb
from reconciler.embedded.install import install_step_ca, version_of


@click.command()
@verb
def command() -> None:
    """Find a step-ca of 0.30.2 or later on PATH or in the cache, or build it there from its module.

    The build needs Go, which is fetched where there is none, and a minute or two, once.
    """
    found = install_step_ca(lambda step: click.echo(step, err=True))
    version = ".".join(map(str, version_of(found) or ()))
    click.echo(f"step-ca {version}: {found}")
