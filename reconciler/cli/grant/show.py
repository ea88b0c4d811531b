"""Show a grant.

This is the live grant NAME, or the one that ended last.
"""

from __future__ import annotations

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.listing import print_object
from reconciler.cli.shared.names import name_argument
from reconciler.cli.shared.output import output_option
from reconciler.core.model.spec import Kind
from reconciler.store.views.grants import show_grant


@click.command(help=__doc__)
@name_argument(Kind.GRANT)
@output_option
@verb
def command(name: str, output: str) -> None:
    print_object("grant", show_grant, name, output)
