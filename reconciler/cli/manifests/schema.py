"""Print a JSON Schema, or the OpenAPI document of the endpoint."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.output import json_text
from reconciler.manifest.json_schema import KINDS, json_schema


@click.command(help=__doc__)
@click.argument("kind", type=click.Choice([*KINDS, "openapi"], case_sensitive=False))
@verb
def command(kind: str) -> None:
    if kind == "openapi":
        from reconciler.web.openapi import openapi_document

        document = openapi_document()
    else:
        document = json_schema(kind)
    click.echo(json_text(document))
