"""Rename a peer or a grant; its certificates stay valid.

Its invitations stay valid too. The name is also changed in the manifests, which keep their comments
and order. A name that changes in git alone means that one object is removed and another is created.

If the source is in git, pause the loop, rename with --no-write, push the new name, and resume.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from reconciler.cli.plan.options import IdentityType
from reconciler.cli.shared.context import (
    open_database,
    print_gateway,
    read_settings,
    source_of,
    source_option,
    verb,
    wait_lock,
)
from reconciler.core.model.spec import NAME_PATTERN
from reconciler.errors import NeedsEdit
from reconciler.operations.rename import refuse_repository, rename_object

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.core.model.spec import Identity


@click.command(help=__doc__)
@click.argument("old", type=IdentityType(), metavar="KIND/OLD")
@click.argument("new", metavar="NEW")
@click.option("--no-write", is_flag=True, help="Do not change the manifests; you change them.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@wait_lock
@source_option
@verb
def command(old: Identity, new: str, no_write: bool, dry_run: bool, wait: timedelta) -> None:
    kind, name = old
    if not re.fullmatch(NAME_PATTERN, new):
        raise NeedsEdit(
            "value_invalid",
            f"got {new!r}, expected a name of a-z, 0-9 and -, up to 63 characters",
            hint="choose another name",
        )
    settings = read_settings()
    source = None if no_write else source_of(settings, None)
    if source is not None:
        refuse_repository(source)
    print_gateway(settings)
    with open_database(settings, "rename") as database:
        manifests = rename_object(database, old, new, source, wait, dry_run=dry_run)
    would, write = ("would be", "would write") if dry_run else ("is", "wrote")
    click.echo(f"{kind.subject(name)} {would} {kind.subject(new)} now")
    for path in manifests:
        click.echo(f"  {write} {path}")
