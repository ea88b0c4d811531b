"""Show what an apply would change; change nothing.

Reads the manifests below PATH, or the source. Exits with 3 if the guard would refuse the plan.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from reconciler.cli.plan.display import opened_reading, plan_output, show_plan, trust_verdict
from reconciler.cli.plan.options import PlanOptions, plan_flags
from reconciler.cli.plan.plan_file import SavedPlan, plan_sealer, save_plan
from reconciler.cli.shared.context import flags_given, read_settings, source_of, source_option, verb
from reconciler.cli.shared.invocation import invocation
from reconciler.core.plan.guard import refuse_if_guarded
from reconciler.core.plan.json import plan_as_json
from reconciler.errors import EXIT_CHANGES, EXIT_REFUSED, NeedsEdit
from reconciler.reconcile import plan
from reconciler.store.audit.position import first_hash


@click.command(help=__doc__)
@click.argument("path", required=False)
@plan_flags
@click.option("--save", metavar="FILE", help="Write the plan to a file, for `apply FILE`.")
@click.option(
    "--sign-key",
    metavar="KEY",
    help="Sign the saved plan with this SSH key, for a gateway that allows its signer.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if changes are pending.")
@plan_output
@source_option
@verb
def command(
    path: str | None,
    save: str | None,
    sign_key: str | None,
    detailed_exitcode: bool,
    plan_options: PlanOptions,
    output: str,
) -> None:
    settings = read_settings(path)
    source = source_of(settings, path)
    if sign_key is not None and save is None:
        raise NeedsEdit("usage", "--sign-key signs a saved plan", hint="name its file: --save FILE")
    seal = plan_sealer(settings, Path(sign_key) if sign_key is not None else None) if save else None
    with opened_reading(settings, source, plan_options, "plan") as (opened, reading):
        desired = reading.desired
        with opened.transaction() as tx:
            result = plan(tx, desired, plan_options.limits, plan_options.selection)
            verdict = trust_verdict(tx, result.plan, reading)
            log = first_hash(tx) if save is not None else None
    show_plan(result, desired, output)
    if not result.verdict.allowed and save is not None:
        click.echo(f"{save} is not written: the plan is refused", err=True)
    if output == "json":
        refuse_if_guarded(result.verdict)
    if not result.verdict.allowed:
        raise click.exceptions.Exit(EXIT_REFUSED)
    verdict.refuse()
    if save is not None and seal is not None:
        pinned = replace(source, ref=desired.revision) if source.is_git else source
        saved = SavedPlan(pinned, result.plan.digest, plan_options, log)
        document = plan_as_json(result.plan, result.verdict, desired)
        save_plan(Path(save), document, saved, seal)
        click.echo(f"wrote {save}" + (", which changes nothing" * result.plan.empty), err=True)
    if not result.plan.empty:
        if output == "text":
            if save is not None:  # it has all other options
                options = [*plan_options.exception_words(), *flags_given("home")]
                line = invocation("apply", [save], options)
            else:
                given = flags_given("home", "source", "ref", "path")
                line = invocation("apply", [path] if path else [], [*plan_options.words(), *given])
            click.echo(f"Next: {line}")
        if detailed_exitcode:
            raise click.exceptions.Exit(EXIT_CHANGES)
