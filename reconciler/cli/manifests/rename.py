"""Rename a peer or a grant; its certificates stay valid.

Its invitations stay valid too. The name is also changed in the manifests, which keep their comments
and order. A name that changes in git alone means that one object is removed and another is created.

If the source is in git, pause the loop, rename with --no-write, push the new name, and resume.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.plan.options import IdentityType
from reconciler.cli.shared.context import (
    database,
    say_gateway,
    settings,
    source_of,
    source_option,
    verb,
    wait_lock,
)
from reconciler.errors import NeedsEdit
from reconciler.manifest.edit import renamed
from reconciler.manifest.load import load
from reconciler.operations.manifest_files import Rewriting
from reconciler.source.read import folder_of, read_source
from reconciler.store.locks import actor_name
from reconciler.store.rename import rename

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.core.plan.selection import Identity
    from reconciler.core.settings import SourceSetting

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@click.command(help=__doc__)
@click.argument("old", type=IdentityType(), metavar="KIND/OLD")
@click.argument("new", metavar="NEW")
@click.option("--no-write", is_flag=True, help="Leave the manifests to you.")
@click.option("--dry-run", is_flag=True, help="Say what it would do; change nothing.")
@wait_lock
@source_option
@verb
def command(old: Identity, new: str, no_write: bool, dry_run: bool, wait: timedelta) -> None:
    kind, name = old
    if not LABEL.fullmatch(new):
        raise NeedsEdit(
            "value_invalid",
            f"got {new!r}, expected a name of a-z, 0-9 and -, up to 63 characters",
            hint="choose another name",
        )
    found = settings()
    files = Rewriting(Path(), {}, {})
    if not no_write:
        files = _rewritten(source_of(found, None), old, new)
    say_gateway(found)
    with (
        suppress(_DryRun),
        database(found, "rename") as opened,
        files.with_rows(opened, wait) as tx,
    ):
        rename(tx, kind, name, new, f"user:{actor_name()}")
        if dry_run:
            raise _DryRun
    would, write = ("would be", "would write") if dry_run else ("is", "wrote")
    click.echo(f"{kind.lower()}/{name} {would} {kind.lower()}/{new} now")
    for path in sorted(files.after):
        click.echo(f"  {write} {files.folder / path}")


class _DryRun(Exception):
    """Undoes the transaction in which a rename was tried."""


def _rewritten(source: SourceSetting, old: Identity, new: str) -> Rewriting:
    """Return the files of the source that name the object, as they have to be; all of it checked.

    Raises:
        NeedsEdit: `config_invalid` for a repository. InvalidManifests. Refused: `state_conflict`.
    """
    if source.is_git:
        raise NeedsEdit(
            "config_invalid",
            f"the source {source.shown} is a git repository: a name cannot be written into it",
            hint="pause the loop, pass --no-write, push the new name, and resume",
        )
    folder = folder_of(source)
    read = read_source(source)
    load(read)
    before = {file.path: file.content for file in read.files}
    made = {path: renamed(text.decode(), *old, new, path).encode() for path, text in before.items()}
    after = {path: text for path, text in made.items() if text != before[path]}
    return Rewriting(folder, {path: before[path] for path in after}, after)
