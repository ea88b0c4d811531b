"""`ca install`: a step-ca on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.shared.context import verb
from reconciler.embedded.stepca.install import install_step_ca, version_of


@click.command()
@click.option("--dir", "folder", metavar="DIR", help="Install into DIR, and nowhere else.")
@verb
def command(folder: str | None) -> None:
    """Find a step-ca of 0.30.2 or later, or build it from its Go module.

    One on PATH or in the cache is used as it is. Root installs it for every user of the machine,
    below /usr/local/lib/mosaic-federation; anybody else into the own cache. The build needs Go,
    which is fetched if there is none, and a minute or two, once; it leaves nothing else behind.
    """
    target = Path(folder).absolute() if folder is not None else None
    step_ca = install_step_ca(lambda step: click.echo(f"step-ca: {step}", err=True), target)
    version = ".".join(map(str, version_of(step_ca) or ()))
    click.echo(f"step-ca {version}: {step_ca}")
