"""`plan`: what an apply would do, and whether it may."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import database, settings, verb
from reconciler.cli.planning import (
    guard_options,
    limits_of,
    load_source,
    plan_output,
    show_plan,
)
from reconciler.errors import EXIT_CHANGES, EXIT_REFUSED
from reconciler.reconcile import plan

if TYPE_CHECKING:
    from reconciler.core.guard import MaxRemovals


@click.command()
@click.argument("path", required=False)
@guard_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where changes are pending.")
@plan_output
@verb
def command(
    path: str | None,
    max_removals: MaxRemovals | None,
    allow_empty: bool,
    detailed_exitcode: bool,
    output: str,
) -> None:
    """Show what an apply of the manifests below PATH would do. Changes nothing.

    Exits with 3 where the guard would refuse it.
    """
    found = settings()
    desired = load_source(found, path)
    with database(found, "plan") as opened, opened.transaction() as tx:
        judged = plan(tx, desired, limits_of(max_removals, allow_empty=allow_empty))
    show_plan(judged, desired, output)
    if not judged.verdict.allowed:
        raise click.exceptions.Exit(EXIT_REFUSED)
    if not judged.plan.empty:
        if output == "text":
            click.echo(f"Next: mosaic federation apply{f' {shlex.quote(path)}' if path else ''}")
        if detailed_exitcode:
            raise click.exceptions.Exit(EXIT_CHANGES)
