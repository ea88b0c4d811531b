"""`validate`: every problem of a source at once."""

from __future__ import annotations

from dataclasses import asdict

import click

from reconciler.cli.context import settings, source_of, source_of_path, source_option, verb
from reconciler.cli.output import json_text, output_choice
from reconciler.core.words import counted
from reconciler.errors import EXIT_FAILED, InvalidManifests, Problem
from reconciler.manifest.load import load
from reconciler.source.read import read_source


@click.command()
@click.argument("path", required=False)
@output_choice("text", "json", "github", about="github annotates a pull request.")
@source_option
@verb
def command(path: str | None, output: str) -> None:
    """Check the manifests below PATH (or the source of the settings); needs no database.

    With PATH it needs no settings either.
    """
    source = source_of(settings(), None) if path is None else source_of_path(path)
    try:
        desired = load(read_source(source))
    except InvalidManifests as error:
        _report(error.problems, output)
        if output == "text":
            click.echo(counted(len(error.problems), "problem"), err=True)
        raise click.exceptions.Exit(EXIT_FAILED) from None
    if output == "json":
        click.echo("[]")
    elif output == "text":
        peers, grants = len(desired.peers), len(desired.grants)
        click.echo(f"valid: {counted(peers, 'peer')} and {counted(grants, 'grant')}")


def _report(problems: tuple[Problem, ...], output: str) -> None:
    match output:
        case "json":
            click.echo(json_text([asdict(each) for each in problems]))
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
    return f"::error {where},title={title}::{_data(f'{path}{problem.message}{hint}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
