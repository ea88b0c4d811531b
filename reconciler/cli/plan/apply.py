"""Apply the manifests to the database, in one transaction.

Reads the manifests below PATH, or the source. Shows the plan and asks, then applies exactly that
plan; with --yes it plans under the lock. PATH can also be a plan that `plan --save` wrote: it is
applied exactly as it is and without a question, or refused if it is stale.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.plan.display import (
    is_file,
    opened_reading,
    plan_output,
    show_plan,
    show_progress,
    trust_verdict,
)
from reconciler.cli.plan.options import PlanOptions, plan_flags
from reconciler.cli.plan.plan_file import SavedPlan, read_plan
from reconciler.cli.plan.refusals import ShownRefusal
from reconciler.cli.shared.context import (
    flags_given,
    print_gateway,
    print_hint,
    read_settings,
    source_of,
    source_option,
    token_life_option,
    verb,
    wait_lock,
    yes_option,
)
from reconciler.cli.shared.output import json_text
from reconciler.cli.shared.summary import summarised
from reconciler.cli.terminal.confirmation import can_ask, confirm
from reconciler.core.plan.guard import refusal_of, refuse_if_guarded
from reconciler.core.plan.json import plan_as_json
from reconciler.errors import EXIT_REFUSED, NeedsEdit
from reconciler.operations.invitations import (
    InvitationIssuer,
    invitation_documents,
    invitation_issuer,
)
from reconciler.reconcile import ApplyOptions, PlanResult, Reading, applying, plan, refuse_stale
from reconciler.store.audit.position import first_hash
from reconciler.store.loop_status import paused
from reconciler.store.rollback_journal import recover

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.config import Settings
    from reconciler.core.model.spec import Desired
    from reconciler.core.plan.model import Plan
    from reconciler.core.setting_values import SourceSetting
    from reconciler.store.db import Database


@click.command(help=__doc__)
@click.argument("path", required=False)
@yes_option
@click.option("--invite", is_flag=True, help="Make an invitation for each grant that is created.")
@click.option(
    "--invite-dir", metavar="DIR", help="Write the invitations as files with mode 0600 instead."
)
@token_life_option
@click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
@plan_flags
@wait_lock
@plan_output
@source_option
@verb
def command(
    path: str | None,
    yes: bool,
    invite: bool,
    invite_dir: str | None,
    token_life: timedelta,
    dry_run: bool,
    plan_options: PlanOptions,
    wait: timedelta,
    output: str,
) -> None:
    settings = read_settings(path)
    saved = _saved(path, plan_options, settings)
    source = replace(saved.source, cache=settings.cache) if saved else source_of(settings, path)
    plan_options = saved.for_caller(plan_options) if saved else plan_options
    if dry_run:
        _preview(settings, source, (plan_options, saved), output)
        return
    folder = Path(invite_dir) if invite_dir is not None else None
    issuer = _issuer(settings, token_life, output, invite=invite, folder=folder)
    invitations: list[dict[str, Any]] | None = None
    print_gateway(settings)
    if saved and (words := saved.options.words()):
        click.echo(f"with the options of the saved plan: {shlex.join(words)}", err=True)
    with summarised() as progress:
        with opened_reading(settings, source, plan_options, "apply", records=True) as opened:
            database, reading = opened
            _require_gateway(database, saved)
            _print_pause(database)
            if folder is not None:
                recover(database, folder, wait)
            options = replace(
                _apply_options(plan_options, saved, reading),
                wait=wait,
                minting=issuer.minting if issuer is not None else None,
                folders=(*reading.folders, *([folder] if folder is not None else [])),
            )
            if not yes and (saved is None or plan_options.override_trust):
                approved = _approved(database, reading, options, output)
                options = replace(options, expect=saved.digest if saved else approved.digest)
                progress.planned = len(approved.changes)
            with (
                show_progress("applying, or waiting for the lock"),
                applying(database, reading.desired, reading.by, options) as (done, files),
            ):
                if issuer is not None:
                    invitations, new_files = invitation_documents(issuer, done.minted, folder)
                    files.extend(new_files)
                progress.planned = len(done.plan.changes)
                progress.committing = True
            progress.committed = True
        _print_result(done, reading.desired, invitations, output, shown=not yes and saved is None)


def _apply_options(
    plan_options: PlanOptions, saved: SavedPlan | None, reading: Reading
) -> ApplyOptions:
    return ApplyOptions(
        limits=plan_options.limits,
        expect=saved.digest if saved else None,
        generation=reading.generation,
        selection=plan_options.selection,
        trust=reading.trust,
    )


def _preview(
    settings: Settings,
    source: SourceSetting,
    chosen: tuple[PlanOptions, SavedPlan | None],
    output: str,
) -> None:
    """Show what an apply would do now, or raise as it would.

    Raises:
        Refused: `plan_stale`, `commit_untrusted`, or the guard's.
    """
    plan_options, saved = chosen
    with opened_reading(settings, source, plan_options, "apply") as (opened, reading):
        options = _apply_options(plan_options, saved, reading)
        _require_gateway(opened, saved)
        with opened.transaction() as tx:
            result = plan(tx, reading.desired, options.limits, options.selection)
            refuse_stale(tx, result, options)
            trust = trust_verdict(tx, result.plan, reading)
    show_plan(result, reading.desired, output)
    if output == "json":
        refuse_if_guarded(result.verdict)
    if not result.verdict.allowed:
        raise click.exceptions.Exit(EXIT_REFUSED)
    trust.refuse()
    click.echo("nothing was changed: this was a dry run", err=True)


def _issuer(
    settings: Settings, token_life: timedelta, output: str, *, invite: bool, folder: Path | None
) -> InvitationIssuer | None:
    """Return what invitations need, if any are wanted.

    Raises:
        NeedsEdit: `usage`: they would be printed where others read them.
    """
    if not invite and folder is None:
        return None
    if output == "markdown" and folder is None:
        raise NeedsEdit(
            "usage",
            "--invite prints secrets, and --output markdown is for a comment that others read",
            hint="--invite-dir DIR writes them as files instead",
        )
    return invitation_issuer(settings, token_life)


def _require_gateway(database: Database, saved: SavedPlan | None) -> None:
    """Raise `Refused` (`plan_untrusted`) for a plan that was made for another gateway."""
    if saved is not None:
        with database.transaction() as tx:
            saved.require_log(first_hash(tx))


def _print_pause(database: Database) -> None:
    with database.transaction() as tx:
        pause = paused(tx)
    if pause is not None:
        click.echo(f"the loops are paused by {pause.by}: {pause.reason}", err=True)
        click.echo(
            "  this apply continues; the loops wait for `mosaic federation resume`", err=True
        )


def _saved(path: str | None, plan_options: PlanOptions, settings: Settings) -> SavedPlan | None:
    if path is None or not is_file(path):
        return None
    saved, signer = read_plan(Path(path), settings)
    if signer is not None:
        click.echo(f"the plan is signed by {signer}", err=True)
    if words := [*plan_options.selection_words(), *flags_given("source", "ref", "path")]:
        raise NeedsEdit(
            "usage",
            f"{words[0]} cannot be combined with a saved plan, which has its own options",
            hint=f"make a plan with {words[0]}, and save it",
        )
    return saved


def _approved(database: Database, reading: Reading, options: ApplyOptions, output: str) -> Plan:
    """Show the plan and ask; return what was approved.

    Where a document is wanted, standard output is for that alone, and a refusal is an error.
    """
    with database.transaction() as tx:
        result = plan(tx, reading.desired, options.limits, options.selection)
        trust = trust_verdict(tx, result.plan, reading)
    for_people = output == "text"
    if for_people or can_ask():
        show_plan(result, reading.desired, "text", err=not for_people)
    if not result.verdict.allowed and for_people:
        raise ShownRefusal(refusal_of(result.verdict))
    refuse_if_guarded(result.verdict)
    trust.refuse()
    if trust.overridden:
        click.echo(trust.overridden, err=True)
        confirm("Apply these changes over the rules of trust?", yes=False)
    elif not result.plan.empty:
        confirm("Apply these changes?", yes=False)
    return result.plan


def _print_result(
    done: PlanResult,
    desired: Desired,
    invitations: list[dict[str, Any]] | None,
    output: str,
    *,
    shown: bool,
) -> None:
    """Print what was done, with its plan unless that was `shown` before."""
    if done.overridden:
        click.echo(f"applied all the same: {done.overridden}", err=True)
        click.echo("  `status` shows this until an apply that is trusted", err=True)
    if output == "json":
        document = plan_as_json(done.plan, done.verdict, desired)
        issued = {"invitations": invitations} if invitations is not None else {}
        click.echo(json_text(document | issued))
        return
    if not shown or output == "markdown":
        show_plan(done, desired, output)
    summary = done.plan.summary
    if done.plan.empty:
        click.echo("Nothing to do.")
    else:
        click.echo(
            f"Applied: {summary.create:,} added, {summary.update:,} changed,"
            f" {summary.replace:,} replaced, {summary.revoke:,} removed."
        )
    if invitations is not None and not invitations:
        print_hint(
            "no invitation was made, as no grant was added or replaced;"
            " for one that is there: `mosaic federation grant invite NAME`",
            err=True,
        )
    for each in invitations or ():
        if "file" in each:
            click.echo(f"invitation of {each['grant']}, until {each['expiresAt']}: {each['file']}")
        else:
            click.echo(f"invitation of {each['grant']}, until {each['expiresAt']}, shown once:")
            click.echo(f"  {each['url']}")
