"""`schema`: the JSON Schema of what a manifest may say, and the HTTP contract."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.output import json_text
from reconciler.manifest.schema import KINDS, json_schema


@click.command()
@click.argument("kind", type=click.Choice([*KINDS, "openapi"], case_sensitive=False))
@verb
def command(kind: str) -> None:
    """Print the JSON Schema of KIND, or the OpenAPI document of the endpoint."""
    if kind == "openapi":
        from reconciler.web.openapi import openapi_document

        document = openapi_document()
    else:
        document = json_schema(kind)
    click.echo(json_text(document))
