"""What `plan` and `apply` share: the guard's flags, the source, and how a plan is shown."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.plan.options import signatures
from reconciler.cli.plan.refusals import RefusalRecorder
from reconciler.cli.plan.text import plan_lines
from reconciler.cli.shared.context import home_given, open_database
from reconciler.cli.shared.output import json_text, output_choice, print_lines
from reconciler.core.model.text import escaped, printable
from reconciler.core.plan.json import plan_as_json
from reconciler.errors import NeedsEdit, Refused
from reconciler.reconcile import read
from reconciler.store.apply.provenance import last_applied
from reconciler.store.apply.trust import judge_trust
from reconciler.store.audit.position import newest_age
from reconciler.store.locks import actor_of
from reconciler.store.rollback_journal import interrupted, recover_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.cli.plan.options import PlanOptions
    from reconciler.config import Settings
    from reconciler.core.model.spec import Desired
    from reconciler.core.plan.model import Plan
    from reconciler.core.setting_values import SourceSetting
    from reconciler.reconcile import PlanResult, Reading
    from reconciler.store.apply.provenance import Applied
    from reconciler.store.db import Database, Tx

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def opened_reading(
    settings: Settings,
    source: SourceSetting,
    plan_options: PlanOptions,
    command: str,
    *,
    records: bool = False,
) -> Iterator[tuple[Database, Reading]]:
    """Open the database and read the source.

    A folder is read first, so that its problems are shown even if there is no database. A
    repository is read afterwards, because the database knows which commit was applied, and whether
    the change of an interrupted command was committed. With `records`, for an apply, a refusal is
    recorded, and a folder is read again where something has been recorded since: what was read
    before another apply must not undo it.

    Raises:
        InvalidManifests: with every problem.
        NeedsEdit: `usage`: it is a file; `source_unreadable`; what `database` raises.
        Refused: `rewind`, `commit_untrusted`.
    """
    if not source.is_git and is_file(source.location):
        raise NeedsEdit(
            "usage",
            f"{source.location} is a file, and a source must be a folder",
            hint="name the folder; --target kind/name narrows what is applied",
        )
    recorder = RefusalRecorder(actor_of("user"), source.shown)
    early: Reading | None = None
    began_s = time.monotonic()
    if not source.is_git and not interrupted(source):
        early = _read(settings, source, plan_options, recorder)
    with (
        open_database(settings, command) as database,
        recorder.recording(database) if records else nullcontext(),
    ):
        if early is None:
            recover_source(database, source)
        if early is None or records:
            with database.transaction() as tx:
                applied, age = last_applied(tx), newest_age(tx)
            if early is None or (
                age is not None and age.total_seconds() <= time.monotonic() - began_s
            ):
                early = _read(settings, source, plan_options, recorder, applied)
            early = replace(early, generation=applied.generation)
        yield database, early


def _read(
    settings: Settings,
    source: SourceSetting,
    plan_options: PlanOptions,
    recorder: RefusalRecorder,
    applied: Applied | None = None,
) -> Reading:
    signed = signatures(settings, required=plan_options.require_signed)
    with show_progress(f"reading {source.shown}"):
        return read(
            source,
            recorder.actor,
            applied,
            signatures=signed,
            allow_rewind=plan_options.allow_rewind,
            override_trust=plan_options.override_trust,
            verify=plan_options.verify,
            see=recorder.see,
        )


@dataclass(frozen=True, slots=True)
class TrustVerdict:
    """Whether the rules of trust allow a plan: the refusal, or why they are overridden."""

    refusal: Refused | None = None
    overridden: str = ""

    def refuse(self) -> None:
        """Raise the refusal, if there is one."""
        if self.refusal is not None:
            raise self.refusal


def trust_verdict(tx: Tx, plan: Plan, reading: Reading) -> TrustVerdict:
    """Return what the rules of trust say of a plan, which is shown before it is refused."""
    try:
        return TrustVerdict(overridden=judge_trust(tx, plan, reading.by, reading.trust))
    except Refused as error:
        return TrustVerdict(error)


def is_file(location: str) -> bool:
    """Return whether a path is a file, as far as this can be known."""
    with suppress(OSError):  # a path that may not be examined is reported when it is read
        return Path(location).is_file()
    return False


def show_plan(result: PlanResult, desired: Desired, output: str, *, err: bool = False) -> None:
    """Print a plan: for people, with colour where one looks; as markdown; or as the contract's."""
    if output == "json":
        document = plan_as_json(result.plan, result.verdict, desired)
        click.echo(json_text(document))
        return
    if output == "markdown":
        from reconciler.cli.plan.markdown import plan_markdown

        click.echo(plan_markdown(result.plan, result.verdict, desired), err=err, nl=False)
        return
    stream = sys.stderr if err else sys.stdout
    colours = stream.isatty() and not os.environ.get("NO_COLOR")
    lines = (
        click.style(escaped(text), fg=colour) if colours and colour else escaped(text)
        for text, colour in plan_lines(result.plan, result.verdict, home_given())
    )
    print_lines(lines, err=err)


def plan_output(function: F) -> F:
    """Add `--output text|json|markdown`."""
    about = "How it is printed; json is stable, markdown is for a pull request."
    return output_choice("text", "json", "markdown", about=about)(function)


@contextmanager
def show_progress(what: str) -> Iterator[None]:
    """Show a line on a terminal while the block runs, and erase it afterwards."""
    if not sys.stderr.isatty():
        yield
        return
    line = printable(f"{what} …", max(shutil.get_terminal_size().columns - 1, 20))
    _draw(f"\r{line}")
    try:
        yield
    finally:
        _draw(f"\r{' ' * len(line)}\r")


def _draw(text: str) -> None:
    # as bytes: a return is not text, and would be escaped
    click.echo(text.encode(sys.stderr.encoding, "replace"), nl=False, err=True)
