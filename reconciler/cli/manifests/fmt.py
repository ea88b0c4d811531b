"""Format manifests.

Each PATH is a file or a folder, and `-` formats standard input and prints it. Without PATH, the
source is formatted. Only indentation and spaces change: comments, quotes, the order of keys and the
declared state stay.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import flags_given, read_settings, source_of, source_option, verb
from reconciler.cli.shared.input import read_standard_input
from reconciler.cli.shared.invocation import invocation
from reconciler.cli.shared.paths import STDIN
from reconciler.cli.shared.summary import tallied
from reconciler.cli.terminal.streams import print_verbatim
from reconciler.core.model.spec import MANIFEST_SUFFIXES
from reconciler.core.model.text import counted
from reconciler.core.setting_values import SourceSetting
from reconciler.errors import EXIT_FAILED, InvalidManifests, NeedsEdit, Refused
from reconciler.files import replace_file
from reconciler.manifest.formatter import formatted
from reconciler.source.read import folder_of, read_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.errors import Problem


@click.command(help=__doc__)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Show what would change, and change nothing.")
@source_option
@verb
def command(paths: tuple[str, ...], check: bool, diff: bool) -> None:
    if paths == ("-",):
        print_verbatim(formatted(read_standard_input("PATH"), STDIN))
        return
    given = [Path(path) for path in paths] or [folder_of(source_of(read_settings(), None))]
    different = _different([file for path in given for file in _files(path)])
    with tallied("file", len(different)) as tally:
        for path, (text, made) in different.items():
            if not check and not diff:
                _write(path, text, made)
            tally.done += 1
            click.echo(_diff(path, text, made) if diff else f"{path}\n", nl=False)
    if check and different:
        line = invocation("fmt", paths, flags_given("home", "source", "ref", "path"))
        click.echo(f"{counted(len(different), 'file')} to format: `{line}`", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)


def _different(files: list[Path]) -> dict[Path, tuple[str, str]]:
    """Return the text of each file that is laid out otherwise, and how it has to be.

    Raises:
        InvalidManifests: with every problem of all of them: nothing is written then.
        Refused: `state_conflict`, of the first that cannot be laid out.
    """
    texts: dict[Path, tuple[str, str]] = {}
    problems: list[Problem] = []
    for path in files:
        text = _read(path)
        try:
            made = formatted(text, str(path))
        except InvalidManifests as error:
            problems += error.problems
            continue
        if made != text:
            texts[path] = (text, made)
    if problems:
        raise InvalidManifests(problems)
    return texts


def _diff(path: Path, before: str, after: str) -> str:
    name = str(path)
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    return "".join(difflib.unified_diff(old, new, name, name))


def _write(path: Path, before: str, text: str) -> None:
    """Write a file, unless an editor or a command such as `rename` has written it meanwhile."""
    if _read(path) != before:
        raise Refused(
            "state_conflict",
            f"{path} has changed since it was read",
            hint="it was not formatted; run the command again",
        )
    try:
        replace_file(path.resolve(), text.encode())  # a link stays one
    except OSError as error:
        raise NeedsEdit(
            "value_invalid",
            f"{path} cannot be written: {error.strerror}",
            hint="it was not changed; check its folder",
        ) from None


def _files(path: Path) -> Iterator[Path]:
    """Yield a file itself, or the manifests of a folder as a source has them."""
    if path.is_dir():
        source = read_source(SourceSetting(str(path)))
        if source.problems:
            raise InvalidManifests(source.problems)
        yield from (path / file.path for file in source.files)
    elif path.is_file() and path.name.endswith(MANIFEST_SUFFIXES):
        yield path
    else:
        fact = "is neither a folder nor a manifest (*.yaml, *.yml)"
        raise NeedsEdit(
            "source_unreadable",
            f"{path} {fact if path.exists() else 'does not exist'}",
            hint="check the path; nothing was changed",
        )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()  # as its lines end
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        hint = "check the file; it was not changed"
        raise NeedsEdit(
            "source_unreadable", f"{path} cannot be read: {reason}", hint=hint
        ) from None
