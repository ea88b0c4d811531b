"""What `plan` and `apply` share: the guard's flags, the source, and how a plan is shown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.render import plan_lines
from reconciler.core.guard import Limits, MaxRemovals
from reconciler.core.plan_json import plan_as_json
from reconciler.core.spec import Kind
from reconciler.core.text import printable
from reconciler.errors import NeedsEdit
from reconciler.reconcile import read
from reconciler.store.locks import actor_name

if TYPE_CHECKING:
    from reconciler.core.selection import Identity
    from reconciler.core.spec import Desired
    from reconciler.core.values import SourceSetting
    from reconciler.reconcile import Judged, Reading
    from reconciler.store.tx import Database

F = TypeVar("F", bound=Callable[..., Any])


class _MaxRemovalsType(click.ParamType["MaxRemovals"]):
    name = "N|N%"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> MaxRemovals:
        try:
            return MaxRemovals.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _TargetType(click.ParamType["Identity"]):
    name = "kind/name"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Identity:
        kind, slash, name = str(value).partition("/")
        kinds = {str(each).lower(): each for each in Kind}
        if kind.lower() not in kinds or not slash or not name:
            self.fail(
                f"got {printable(value)!r}, expected one such as grant/beta-tasks", param, ctx
            )
        return (kinds[kind.lower()], name)


def target_option(function: F) -> F:
    """Add `--target kind/name`, which narrows a plan to some objects."""
    option = click.option(
        "--target",
        "targets",
        type=_TargetType(),
        metavar="KIND/NAME",
        multiple=True,
        help="Only this object, a peer with its grants; may be given again.",
    )
    return option(function)


def only_of(targets: tuple[Identity, ...]) -> frozenset[Identity] | None:
    """Return what a plan is narrowed to, or None: all of it."""
    return frozenset(targets) or None


def guard_options(function: F) -> F:
    """Add the exceptions that one run may state: `--max-removals` and `--allow-empty`."""
    empty = click.option(
        "--allow-empty", is_flag=True, help="Let an empty source remove what is managed, once."
    )
    removals = click.option(
        "--max-removals",
        type=_MaxRemovalsType(),
        metavar="N|N%",
        help="Let so many objects, or such a share, be removed, once.",
    )
    return removals(empty(function))


def limits_of(max_removals: MaxRemovals | None, *, allow_empty: bool) -> Limits:
    """Return the limits of one run."""
    return Limits(max_removals, allow_empty)


def rewind_option(function: F) -> F:
    """Add `--allow-rewind`."""
    option = click.option(
        "--allow-rewind",
        is_flag=True,
        help="Let a commit be read that does not follow the applied one, once.",
    )
    return option(function)


def read_manifests(
    opened: Database, source: SourceSetting, *, allow_rewind: bool = False
) -> Reading:
    """Return what the source declares, by the one who runs this command.

    Raises:
        InvalidManifests: with every problem.
        NeedsEdit: `usage`: it is a file; `source_unreadable`.
        Refused: `rewind`.
    """
    if not source.is_git and Path(source.location).is_file():
        raise NeedsEdit(
            "usage",
            f"{source.location} is a file, and a source is a folder: all of it is applied",
            hint="name the folder; --target kind/name narrows what is applied",
        )
    return read(opened, source, f"user:{actor_name()}", allow_rewind=allow_rewind)


def show_plan(judged: Judged, desired: Desired, output: str, *, err: bool = False) -> None:
    """Print a plan: for people, with colour where one looks, or as the object of the contract."""
    if output == "json":
        document = plan_as_json(judged.plan, judged.verdict, desired)
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    stream = sys.stderr if err else sys.stdout
    colours = stream.isatty() and not os.environ.get("NO_COLOR")
    for line, colour in plan_lines(judged.plan, judged.verdict):
        click.echo(click.style(line, fg=colour) if colours and colour else line, err=err)


def plan_output(function: F) -> F:
    """Add `--output text|json`."""
    option = click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the plan is printed; json is stable for scripts.",
    )
    return option(function)
