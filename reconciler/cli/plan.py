"""`plan`: what an apply would do, and whether it may."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import (
    database,
    flags_given,
    settings,
    source_of,
    source_option,
    verb,
)
from reconciler.cli.planning import (
    guard_options,
    limits_of,
    only_of,
    plan_output,
    read_manifests,
    rewind_option,
    show_plan,
    target_option,
)
from reconciler.cli.saved import SavedPlan, save_plan
from reconciler.errors import EXIT_CHANGES, EXIT_REFUSED
from reconciler.reconcile import plan, refuse_if_guarded

if TYPE_CHECKING:
    from reconciler.core.guard import Limits, MaxRemovals
    from reconciler.core.selection import Identity


@click.command()
@click.argument("path", required=False)
@target_option
@guard_options
@rewind_option
@click.option("--save", metavar="FILE", help="Write the plan, for `apply FILE`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where changes are pending.")
@plan_output
@source_option
@verb
def command(
    path: str | None,
    targets: tuple[Identity, ...],
    max_removals: MaxRemovals | None,
    allow_empty: bool,
    allow_rewind: bool,
    save: str | None,
    detailed_exitcode: bool,
    output: str,
) -> None:
    """Show what an apply of the manifests below PATH would do. Changes nothing.

    Exits with 3 where the guard would refuse it.
    """
    found = settings()
    source = source_of(found, path)
    only = only_of(targets)
    limits = limits_of(max_removals, allow_empty=allow_empty)
    with database(found, "plan") as opened:
        desired = read_manifests(opened, source, allow_rewind=allow_rewind).desired
        with opened.transaction() as tx:
            judged = plan(tx, desired, limits, only)
    show_plan(judged, desired, output)
    if output == "json":
        refuse_if_guarded(judged.verdict)
    if not judged.verdict.allowed:
        raise click.exceptions.Exit(EXIT_REFUSED)
    if save is not None:
        save_plan(Path(save), judged, desired, SavedPlan(source, judged.plan.digest, targets))
    if not judged.plan.empty:
        if output == "text":
            what = [save] if save else [*([path] if path else []), *_flags(targets)]
            words = ["mosaic", "federation", "apply", *what, *_exceptions(limits), *flags_given()]
            click.echo(f"Next: {shlex.join(words)}")
        if detailed_exitcode:
            raise click.exceptions.Exit(EXIT_CHANGES)


def _exceptions(limits: Limits) -> list[str]:
    stated = ["--max-removals", str(limits.max_removals)] if limits.max_removals else []
    return [*stated, *(["--allow-empty"] if limits.allow_empty else [])]


def _flags(targets: tuple[Identity, ...]) -> list[str]:
    return [word for kind, name in targets for word in ("--target", f"{kind.lower()}/{name}")]
