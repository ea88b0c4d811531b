"""Show what an apply would change; change nothing.

Reads the manifests below PATH, or the source. Exits with 3 if the guard would refuse the plan.
"""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.plan.display import opened_reading, plan_output, show_plan, trust_verdict
from reconciler.cli.plan.options import PlanOptions, plan_flags
from reconciler.cli.plan.plan_file import SavedPlan, save_plan
from reconciler.cli.shared.context import flags_given, read_settings, source_of, source_option, verb
from reconciler.cli.shared.invocation import invocation
from reconciler.core.plan.guard import refuse_if_guarded
from reconciler.errors import EXIT_CHANGES, EXIT_REFUSED
from reconciler.reconcile import plan


@click.command(help=__doc__)
@click.argument("path", required=False)
@plan_flags
@click.option("--save", metavar="FILE", help="Write the plan to a file, for `apply FILE`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if changes are pending.")
@plan_output
@source_option
@verb
def command(
    path: str | None,
    save: str | None,
    detailed_exitcode: bool,
    plan_options: PlanOptions,
    output: str,
) -> None:
    settings = read_settings()
    source = source_of(settings, path)
    with opened_reading(settings, source, plan_options, "plan") as (opened, reading):
        desired = reading.desired
        with opened.transaction() as tx:
            result = plan(tx, desired, plan_options.limits, plan_options.selection)
            verdict = trust_verdict(tx, result.plan, reading)
    show_plan(result, desired, output)
    if not result.verdict.allowed and save is not None:
        click.echo(f"{save} is not written: the plan is refused", err=True)
    if output == "json":
        refuse_if_guarded(result.verdict)
    if not result.verdict.allowed:
        raise click.exceptions.Exit(EXIT_REFUSED)
    verdict.refuse()
    if save is not None:
        save_plan(Path(save), result, desired, SavedPlan(source, result.plan.digest, plan_options))
    if not result.plan.empty:
        if output == "text":
            if save is not None:  # it holds all other options
                line = invocation("apply", [save], flags_given("home"))
            else:
                given = flags_given("home", "source", "ref", "path")
                line = invocation("apply", [path] if path else [], [*plan_options.words(), *given])
            click.echo(f"Next: {line}")
        if detailed_exitcode:
            raise click.exceptions.Exit(EXIT_CHANGES)
