"""Check manifests and report every problem at once.

Each PATH is a folder or a file, and `-` is standard input. Without PATH, the source is checked.
With PATH, the command needs no settings; it never needs a database.

A folder is checked as a whole, with the trust rules of its repository. Single files
are checked by themselves: if neither they nor their folders declare a grant's peer, that is a
warning.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import (
    read_settings,
    source_of,
    source_of_path,
    source_option,
    verb,
)
from reconciler.cli.shared.output import json_text, output_choice
from reconciler.cli.shared.paths import only_source, read_paths
from reconciler.core.model.text import counted
from reconciler.errors import EXIT_FAILED, NeedsEdit
from reconciler.manifest.validation import Validation, validate
from reconciler.source.read import read_source
from reconciler.source.trust_rules import read_rules_of

if TYPE_CHECKING:
    from reconciler.core.model.spec import Direction
    from reconciler.errors import Problem


@click.command(help=__doc__)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@output_choice("text", "json", "github", about="github annotates a pull request.")
@source_option
@verb
def command(paths: tuple[str, ...], strict: bool, output: str) -> None:
    validation = _validated(paths)
    if strict:
        validation = validation.strict()
    errors, warnings = validation.count("error"), validation.count("warning")
    _report(validation.problems, output)
    if output == "text" and validation.problems:
        counts = {"problem": errors, "warning": warnings}
        parts = (counted(count, noun) for noun, count in counts.items() if count)
        click.echo(" and ".join(parts), err=True)
    if errors and output == "json":
        message = f"{counted(errors, 'problem')} in the manifests"
        raise NeedsEdit("manifest_invalid", message, hint="correct the places that are listed")
    if errors:
        raise click.exceptions.Exit(EXIT_FAILED)
    if output == "text":
        peers, grants = validation.peers, validation.grants
        click.echo(f"valid: {counted(peers, 'peer')} and {counted(grants, 'grant')}")


def _validated(paths: tuple[str, ...]) -> Validation:
    now = datetime.now(UTC)
    if not paths or only_source(paths):
        setting = source_of_path(paths[0]) if paths else source_of(read_settings(), None)
        source = read_source(setting)
        rules = read_rules_of(setting, source)
        return validate(source, now, rules=rules)
    files = read_paths(paths)
    others: dict[str, Direction] | None = {} if files.partial else None
    validation = validate(files.source, now, others=others, rules=files.rules)
    if files.partial and any(each.code == "grant.peer" for each in validation.problems):
        others = files.peers_beside()
        return validate(files.source, now, others=others, rules=files.rules)
    return validation


def _report(problems: tuple[Problem, ...], output: str) -> None:
    match output:
        case "json":
            click.echo(json_text([each.as_json() for each in problems]))
        case "github":
            for each in problems:
                click.echo(_annotation(each))
        case _:
            for each in problems:
                click.echo(str(each))


def _annotation(problem: Problem) -> str:
    """Return a workflow command of GitHub's and Gitea's actions, escaped as they want it."""
    where = f"file={_property(problem.file)},line={problem.line},col={problem.column}"
    path = f"{problem.path}: " if problem.path else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    title = _property(f"{problem.code}")
    return f"::{problem.severity} {where},title={title}::{_data(f'{path}{problem.message}{hint}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
