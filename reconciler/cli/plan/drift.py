"""Show what was changed in the database by hand.

Compares the rows with what was last applied. KIND/NAME limits this to the objects named; a grant
includes its certificates.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from reconciler.cli.plan.options import IdentityType, override_option
from reconciler.cli.shared.context import (
    flags_given,
    open_database,
    print_gateway,
    print_hint,
    read_settings,
    source_of,
    source_option,
    verb,
    wait_lock,
    yes_option,
)
from reconciler.cli.shared.invocation import invocation
from reconciler.cli.shared.output import json_text, output_choice
from reconciler.cli.terminal.confirmation import confirm
from reconciler.core.drift.model import DriftKind
from reconciler.core.model.text import printable
from reconciler.core.model.times import rfc3339
from reconciler.errors import EXIT_CHANGES, EXIT_FAILED, NeedsEdit, Refused
from reconciler.operations.adopt import Adoption, carry_out, prepare
from reconciler.store.apply.trust import TrustOptions
from reconciler.store.drift.repair import drifted, revert
from reconciler.store.locks import actor_of, locked
from reconciler.store.rollback_journal import locked_with_files, recover_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from reconciler.core.drift.model import Drift
    from reconciler.core.model.spec import Identity
    from reconciler.core.setting_values import SourceSetting
    from reconciler.store.db import Database, Tx


@click.command(help=__doc__)
@click.argument("objects", nargs=-1, type=IdentityType(), metavar="[KIND/NAME]...")
@click.option("--revert", "reverting", is_flag=True, help="Restore what was last applied.")
@click.option(
    "--adopt",
    "adopting",
    is_flag=True,
    help="Write the present rows into the manifests of the source.",
)
@override_option
@yes_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there is drift.")
@wait_lock
@output_choice("text", "json", about="How it is printed; json is stable.")
@source_option
@verb
def command(
    objects: tuple[Identity, ...],
    reverting: bool,
    adopting: bool,
    override_trust: bool,
    yes: bool,
    detailed_exitcode: bool,
    wait: timedelta,
    output: str,
) -> None:
    settings = read_settings()
    only = frozenset(objects) or None
    if reverting and adopting:
        raise NeedsEdit(
            "usage", "--revert and --adopt exclude each other", hint="choose one of them"
        )
    if reverting or adopting:
        print_gateway(settings)
    with open_database(settings, "drift") as database:
        if adopting:
            recover_source(database, source_of(settings, None), wait)
        with database.transaction() as tx:
            drifts = drifted(tx, only)
        _show(drifts, output)
        if output == "text":
            _show_next(settings.source, drifts, objects)
        if adopting and drifts:
            prepared = prepare(source_of(settings, None), drifts)
            files = ", ".join(each.path for each in prepared.files)
            over = " over the rules of trust" if override_trust else ""
            confirm(f"Write {_count(drifts)} into {files}{over}?", yes=yes)
            _adopt(database, prepared, (drifts, only), wait, TrustOptions(override=override_trust))
            click.echo(f"Wrote {files}; commit the change.", err=True)
            return
        if reverting and drifts:
            confirm(f"Revert {_count(drifts)}?", yes=yes)
            left = _revert(database, drifts, only, wait)
            _report(drifts, left)
            if left and output == "json":
                names = ", ".join(each.subject for each in left)
                raise Refused("state_conflict", f"not reverted: {names}", hint=left[0].remedy)
            if left:
                raise click.exceptions.Exit(EXIT_FAILED)
            return
    if drifts and detailed_exitcode:
        raise click.exceptions.Exit(EXIT_CHANGES)


def _revert(
    database: Database, seen: Sequence[Drift], only: frozenset[Identity] | None, wait: timedelta
) -> Sequence[Drift]:
    """Put back what was seen, under the lock; return what could not be.

    Raises:
        Retry: `lock_held`. Refused: `plan_stale`: something else drifted meanwhile.
    """
    with locked(database, wait) as tx:
        now = _as_seen(tx, seen, only)
        revert(tx, now, actor_of("user"))
        # By key: a row that has its name back no longer has the name that the command line gave.
        seen_keys = {each.key for each in now}
        return [each for each in drifted(tx) if each.key in seen_keys]


def _adopt(
    database: Database,
    prepared: Adoption,
    seen: tuple[Sequence[Drift], frozenset[Identity] | None],
    wait: timedelta,
    trust: TrustOptions,
) -> None:
    """Write the files last, in the transaction that updates the rows: both are done, or neither.

    Raises:
        Retry: `lock_held`. Refused: `plan_stale`: something else drifted, or a file has changed.
    """
    with locked_with_files(database, wait, [prepared.folder]) as (tx, files):
        carry_out(tx, prepared, _as_seen(tx, *seen), actor_of("user"), trust)
        files.extend(prepared.files)


def _as_seen(tx: Tx, seen: Sequence[Drift], only: frozenset[Identity] | None) -> tuple[Drift, ...]:
    now = drifted(tx, only)
    if [each.as_json() for each in now] != [each.as_json() for each in seen]:
        raise Refused(
            "plan_stale",
            "the rows have changed since they were shown",
            hint="nothing was changed; run the command again",
        )
    return now


def _report(drifts: Sequence[Drift], left: Sequence[Drift]) -> None:
    left_subjects = {each.subject for each in left}
    done = [each.subject for each in drifts if each.subject not in left_subjects]
    if done:
        click.echo(f"Done: {', '.join(done)}", err=True)
    for each in left:
        click.echo(f"Failed: {each.subject}: {printable(each.remedy, 400)}", err=True)


def _show(drifts: Sequence[Drift], output: str) -> None:
    if output == "json":
        documents = [each.as_json() for each in drifts]
        click.echo(json_text(documents))
        return
    if not drifts:
        click.echo("No drift: every row is as it was last applied.")
        return
    for each in drifts:
        click.echo(f"  ! {each.subject:<33} {_description(each)}")
        for field in each.fields if each.kind is not DriftKind.INSERTED else ():
            old, new = (
                printable(json.dumps(v, ensure_ascii=False), 200) for v in (field.old, field.new)
            )
            effect = "" if str(field.effect) == "neutral" else str(field.effect).upper()
            click.echo(f"      {field.path}  {old} -> {new}  {effect}".rstrip())
        if each.remedy:
            print_hint(f"      {each.remedy}")
    click.echo(f"Drift: {_count(drifts)}.")


def _show_next(
    source: SourceSetting | None, drifts: Sequence[Drift], objects: Sequence[Identity]
) -> None:
    """Print a command line for what can be put back, and one for what can be declared."""
    given = [kind.subject(name) for kind, name in objects]
    folder = source is not None and not source.is_git
    for option, able in (
        ("--revert", [each for each in drifts if each.reverts]),
        ("--adopt", [each for each in drifts if each.declares and folder]),
    ):
        others = {each.identity for each in drifts if each not in able}
        names = sorted({each.identity for each in able} - others) if others else given
        if able and (names or not others):
            options = [option, *flags_given("home", "source", "ref", "path")]
            click.echo(f"Next: {invocation('drift', names, options)}")


def _description(drift: Drift) -> str:
    changed_by = drift.changed_by
    if drift.kind is DriftKind.UNLISTED:
        return "revoked, and the CA's newer list lacks it"
    if changed_by is None:
        return f"{drift.kind} by hand; no trigger recorded who"
    where = f" from {changed_by.address}" if changed_by.address else ""
    application = f" ({printable(changed_by.application, 80)})" if changed_by.application else ""
    at = rfc3339(changed_by.at.replace(microsecond=0))
    return f"{drift.kind} by hand by {printable(changed_by.role, 80)}{application}{where} at {at}"


def _count(drifts: Sequence[Drift]) -> str:
    return f"{len(drifts):,} object{'' if len(drifts) == 1 else 's'}"
