"""Find step-ca, or build and install it.

A step-ca of 0.30.2 or later that is on PATH or in the cache is used as it is. Otherwise it is built
from its Go module: by root for every user of the machine, below /usr/local/lib/mosaic-federation,
and by anybody else in the user's own cache. The build takes a minute or two. It needs Go, which is
downloaded if there is none, and leaves nothing else behind.
"""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.shared.context import verb
from reconciler.embedded.stepca.install import install_step_ca, version_of


@click.command(help=__doc__)
@click.option("--dir", "folder", metavar="DIR", help="Install into DIR.")
@verb
def command(folder: str | None) -> None:
    target = Path(folder).absolute() if folder is not None else None
    step_ca = install_step_ca(lambda step: click.echo(f"step-ca: {step}", err=True), target)
    version = ".".join(map(str, version_of(step_ca) or ()))
    click.echo(f"step-ca {version}: {step_ca}")
