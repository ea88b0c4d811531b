"""Remove this gateway: its folder, its database and its processes.

The manifests beside the folder stay. The command also works if the gateway is incomplete, partly
removed or broken, and can be run again after an interruption. --orphans removes the databases of
gateways whose folder was removed by hand.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.context import home_given, verb, yes_option
from reconciler.cli.shared.input import working_directory
from reconciler.cli.terminal.confirmation import confirm
from reconciler.config import load_settings
from reconciler.config.document import read_document
from reconciler.config.home import NAME, Home, find_home, is_home
from reconciler.config.home_ownership import require_own, trusted_homes
from reconciler.core.model.text import counted, printable
from reconciler.embedded.destroy import (
    Orphan,
    destroy_home,
    orphans,
    remove_orphan,
    require_home_folder,
    reserved,
    users_of,
)
from reconciler.embedded.folders import locked
from reconciler.embedded.postgres.data_directory import data_directories_of, size_of
from reconciler.errors import MosaicError, NeedsEdit, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_S: Final = 20.0  # for a server to start whose rows are counted before they are removed
MB: Final = 1_000_000


@click.command(help=__doc__)
@click.option(
    "--orphans",
    "all_orphans",
    is_flag=True,
    help="Remove the data of gateways that no longer exist.",
)
@click.option(
    "--orphan",
    "named",
    metavar="DIR",
    multiple=True,
    help="Remove DIR, which `doctor` lists, even if its gateway may still exist.",
)
@yes_option
@verb
def command(named: tuple[str, ...], *, all_orphans: bool, yes: bool) -> None:
    if all_orphans or named:
        _destroy_orphans(named, all_of_them=all_orphans, yes=yes)
        return
    home = _home()
    require_own(home, trusted_homes(os.environ))
    require_home_folder(home)

    def wait() -> None:
        click.echo(f"another process is removing {home.path}; waiting", err=True)

    with reserved(home, wait) as here:
        if not here:
            click.echo(f"{home.path} was removed by another process")
            return
        _describe(home)
        confirm("Remove all of this permanently?", yes=yes)
        left = destroy_home(home)
    click.echo(f"removed {home.path}")
    for each in left:
        click.echo(f"  kept {each}, which no gateway created")


def _home() -> Home:
    """Return the home that is named, or the nearest one, whole or not."""
    given = home_given() or os.environ.get("MOSAIC_HOME")
    if not given:
        nearest = find_home(working_directory(), whole=False)
        if nearest is None:
            raise NeedsEdit(
                "home_missing",
                f"there is no gateway in {working_directory()} or above; nothing was removed",
                hint="specify its folder: `mosaic federation destroy --home DIR`",
            )
        return Home(nearest.path.resolve())
    home = Home((working_directory() / given).resolve())
    if not is_home(home.path) and is_home(home.path / NAME):
        raise NeedsEdit(
            "home_missing",
            f"{home.path} is not a gateway's folder; nothing was removed",
            hint=f"did you mean --home {home.path / NAME}?",
        )
    return home


def _describe(home: Home) -> None:
    """Tell what is going to be removed."""
    click.echo(f"this removes the gateway in {home.path} permanently:")
    _line(home.path, size_of(home.path), "keys, certificate authority, settings, logs")
    for directory in data_directories_of(home):
        _line(directory.path, size_of(directory.path), "its database")
    click.echo(f"  {_rows(home)}")
    for name, path in _files_elsewhere(home).items():
        click.echo(f"  kept: {path}, as {name} says")
    users = users_of(home)
    if users:
        pids = ", ".join(str(each.pid) for each in users)
        click.echo(f"  its processes are stopped first: pid {pids}")


def _files_elsewhere(home: Home) -> dict[str, Path]:
    """Return the files that its settings name elsewhere, by setting: they may serve others too."""
    try:
        texts = {name: assignment.text for name, assignment in read_document(home).items()}
    except (MosaicError, OSError):
        return {}
    paths = {
        name: home.path.parent / texts[name]
        for name in ("keyring", "token_pepper_file", "plan_key_file", "ca_provisioners")
        if name in texts
    }
    return {name: path for name, path in paths.items() if not path.is_relative_to(home.path)}


def _line(path: Path, size: int, what: str) -> None:
    click.echo(f"  {path}  {size / MB:,.1f} MB  {what}")


def _rows(home: Home) -> str:
    """Return what ends with the database, or why nobody can tell."""
    try:
        counts = _live_counts(home)
    except (MosaicError, OSError) as error:
        reason = error.message if isinstance(error, MosaicError) else error.strerror
        return f"its database cannot be read: {printable(str(reason), 300)}"
    live = ", ".join(counted(count, f"live {what}") for what, count in counts.items())
    return f"this also removes {live}"


def _live_counts(home: Home) -> dict[str, int]:
    from reconciler.core.privileges import Role
    from reconciler.embedded.postgres.home_server import has_data, postgres
    from reconciler.store.db import Database
    from reconciler.store.locks import application_name
    from reconciler.store.views.status import live_counts

    if not has_data(home):
        raise NeedsEdit("home_missing", "it does not exist")
    try:
        with locked(home.run / "start.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            pass
    except BlockingIOError:
        raise Retry("child_failed", "another process is starting or stopping its server") from None
    settings = load_settings(
        {"home": str(home.path)}, os.environ, working_directory(), making_home=True
    )
    until = time.monotonic() + READ_S
    with postgres(
        replace(home, server=settings.postgres_bin),
        lambda: time.monotonic() > until,
        login=Role.READER,
    ) as url:
        database = Database(url, application_name("destroy"))
        with database.transaction() as tx:
            return live_counts(tx)


def _destroy_orphans(named: tuple[str, ...], *, all_of_them: bool, yes: bool) -> None:
    by_path = {orphan.path: orphan for orphan in orphans()}
    chosen = [orphan for orphan in by_path.values() if all_of_them and orphan.certain]
    for text in named:
        path = Path(text).resolve()
        if path not in by_path:
            raise NeedsEdit(
                "home_missing",
                f"{path} was not left by a removed gateway; nothing was removed",
                hint="`mosaic federation doctor` lists what removed gateways left",
            )
        if by_path[path] not in chosen:
            chosen.append(by_path[path])
    _list("left by gateways that no longer exist:", chosen)
    remaining = [orphan for orphan in by_path.values() if orphan not in chosen]
    _list("kept, because the gateway may be on a disk that is not mounted:", remaining)
    for orphan in remaining:
        click.echo(
            f"  if it is gone: `mosaic federation destroy --orphan {shlex.quote(str(orphan.path))}`"
        )
    if not chosen:
        click.echo("nothing to remove")
        return
    confirm(f"Remove {counted(len(chosen), 'folder')} permanently?", yes=yes)
    for orphan in chosen:
        remove_orphan(orphan)
    click.echo(f"removed {counted(len(chosen), 'folder')}, {_total(chosen)}")


def _list(title: str, listed: list[Orphan]) -> None:
    if listed:
        click.echo(title)
    for orphan in listed:
        _line(orphan.path, orphan.size, f"of {orphan.home or 'a gateway without a record'}")


def _total(listed: Iterable[Orphan]) -> str:
    return f"{sum(orphan.size for orphan in listed) / MB:,.1f} MB"
