"""Print the version of this program and of its Python."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.output import output_option, print_document

DISTRIBUTION = "mosaic-federation"


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    version = metadata.version(DISTRIBUTION)
    if output != "table":
        print_document({"version": version, "python": platform.python_version()}, output)
    else:
        click.echo(f"{DISTRIBUTION} {version} (Python {platform.python_version()})")
