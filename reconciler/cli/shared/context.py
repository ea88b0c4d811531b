"""What verbs share: common options, the settings and the database."""

from __future__ import annotations

import functools
import inspect
import os
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from reconciler.cli.shared.input import working_directory
from reconciler.cli.shared.invocation import with_home
from reconciler.cli.shared.moments import DURATION, DurationType
from reconciler.cli.terminal.log_options import log_options, use_log_format
from reconciler.config import (
    FIND_HOME,
    Settings,
    database_source,
    load_settings,
    require_repository,
)
from reconciler.core.model.times import format_duration
from reconciler.core.privileges import Role
from reconciler.core.setting_values import SourceSetting, is_url
from reconciler.errors import NeedsEdit, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.config.home import Home
    from reconciler.store.connection.conninfo import ConninfoSource
    from reconciler.store.db import Database, Tx

F = TypeVar("F", bound="Callable[..., Any]")

wait_lock = click.option(
    "--wait-lock",
    "wait",
    type=DurationType(timedelta(hours=1)),
    default=timedelta(seconds=30),
    show_default=format_duration(timedelta(seconds=30)),
    help="The time to wait if the lock is taken.",
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
archive_option = click.option(
    "--archive",
    "archives",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file of `audit archive`, to be read too; may be given again.",
)
token_life_option = click.option(
    "--token-life",
    type=DURATION,
    default="1h",
    show_default=True,
    help="The lifetime of an invitation, at most 7d.",
)
workers_option = click.option(
    "--workers", metavar="N", help="Processes that share the HTTPS endpoint (default 1)."
)


def add_options(function: F, *options: Callable[[F], F]) -> F:
    """Add options to a verb, in this order."""
    for option in reversed(options):
        function = option(function)
    return function


def option_group(
    name: str, make: Callable[..., object], *options: Callable[[F], F]
) -> Callable[[F], F]:
    """Return what adds options to a verb, which gets them as one value: what `make` returns."""
    parameters = inspect.signature(make).parameters

    def add(function: F) -> F:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            values = {each: kwargs.pop(each) for each in parameters}
            return function(*args, **kwargs, **{name: make(**values)})

        return add_options(cast("F", wrapped), *options)

    return add


def verb(function: F) -> F:
    """Add the options that every verb takes: `--home`, and those of the log."""
    return _home_option(log_options("warning", long_running=False)(function))


def long_running(function: F) -> F:
    """Add the options of `verb` to a verb that runs until a signal and logs what it does."""
    return _home_option(log_options("info", long_running=True)(function))


def _home_option(function: F) -> F:
    return _flag("--home", help="The folder of an embedded gateway.", metavar="DIR")(function)


def source_option(function: F) -> F:
    """Add `--source`, `--ref` and `--path`, for a verb that reads or writes manifests."""
    folder_or_url = "A folder of manifests, or a git URL (MOSAIC_SOURCE)."
    return add_options(
        function,
        _flag("--source", metavar="DIR|URL", help=folder_or_url),
        _flag("--ref", help="The git ref to read: a branch, a tag, a hash (MOSAIC_REF)."),
        _flag("--path", metavar="DIR", help="The folder within the repository (MOSAIC_PATH)."),
    )


def _flag(name: str, **attributes: Any) -> Callable[[F], F]:
    """Return an option that `_flags` holds; the verb does not take it."""
    flag = name.removeprefix("--")

    def remember(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
        ctx.ensure_object(dict)[flag] = value

    # the parameter has a name of its own: an argument of the verb may be called PATH
    return click.option(name, f"_{flag}", expose_value=False, callback=remember, **attributes)


def read_settings(
    path: str | None = None, *, making_home: bool = False, **flags: str | None
) -> Settings:
    """Return the settings of this command; `flags` are the settings that are its own options.

    With a command's PATH, `--ref` and `--path` are of what it names, not of the source. With
    `making_home`, the home may be one that the command has yet to create.
    """
    if path is not None:
        flags |= dict.fromkeys(("ref", "path"))
    given = {name: text for name, text in (_flags() | flags).items() if text is not None}
    settings = load_settings(given, os.environ, working_directory(), making_home=making_home)
    use_log_format(settings.log_format)
    return settings


def source_of_path(path: str) -> SourceSetting:
    """Return the source that a command's PATH names, regardless of the settings."""
    try:
        cache = read_settings(path).cache
    except NeedsEdit:  # a PATH is read without any settings
        cache = None
    return _source_at(path, cache)


def _source_at(path: str, cache: str | None) -> SourceSetting:
    flags, location = _flags(), path if is_url(path) else str(working_directory() / path)
    ref, within = flags.get("ref") or None, flags.get("path") or None
    return require_repository(SourceSetting(location, ref, within, cache, "--ref"), "--path")


def source_of(settings: Settings, path: str | None) -> SourceSetting:
    """Return the source: a command's PATH with the flags `--ref` and `--path`, or the setting.

    Raises:
        NeedsEdit: `config_invalid`: there is neither.
    """
    if path is not None:
        return _source_at(path, settings.cache)
    if settings.source is None:
        missing = "no source of manifests is set"
        if settings.home is None and settings.database_url is None:
            missing += f", and there is no gateway in {working_directory()} or above"
        hint = f"{FIND_HOME}; or name a folder of manifests: --source DIR (MOSAIC_SOURCE)"
        raise NeedsEdit("config_invalid", missing, hint=hint)
    return settings.source


@contextmanager
def running_database(settings: Settings, role: Role | None = None) -> Iterator[ConninfoSource]:
    """Yield the URL of the database; an embedded server runs as long as the block.

    In a home it is that of the role's login, or of the superuser for migrations. Elsewhere it is
    the one that is set, whatever may be done with it.

    Raises:
        NeedsEdit: `home_missing`: there is neither a home nor MOSAIC_DATABASE_URL.
    """
    source = database_source(settings)
    if source is not None:
        yield source
        return
    home = require_home(settings)
    from reconciler.embedded.postgres.home_server import postgres

    with postgres(home, login=role) as url:
        yield url


@contextmanager
def open_database(
    settings: Settings, name: str, role: Role | None = Role.OPERATOR, *, lasting: bool = False
) -> Iterator[Database]:
    """Open the database of a command, whose schema must be current; `name` names its connections.

    `role` is what the command needs to be, None the superuser.

    A `lasting` command treats every later failure as an outage.

    Raises:
        NeedsEdit: `home_missing`, `schema_missing`, `database_replaced`.
    """
    from reconciler.operations.backup.remembered_head import RememberedHead
    from reconciler.store.db import Database
    from reconciler.store.locks import application_name

    with running_database(settings, role) as source:
        current = Database(source, application_name(name))
        remembered = RememberedHead(settings)
        remembered.require(current)
        yield Database(source, application_name(name), lasting=True) if lasting else current
        if remembered.has_file and role is not Role.READER:
            with suppress(Retry):  # what the command has written is there
                remembered.require(current)


def database_location(settings: Settings, login: str) -> ConninfoSource:
    """Return where the database is, whether or not it runs; in a home, by the URL of a login."""
    source = database_source(settings)
    if source is not None:
        return source
    from reconciler.embedded.postgres.home_server import cluster_of
    from reconciler.embedded.postgres.logins import login_url

    home = require_home(settings)
    return login_url(home, cluster_of(home), login)


@contextmanager
def read_transaction(settings: Settings, name: str) -> Iterator[Tx]:
    """Open a transaction of a command that only reads; raises as `open_database`."""
    with open_database(settings, name, Role.READER) as database, database.transaction() as tx:
        yield tx


def require_home(settings: Settings) -> Home:
    """Return the home, or raise `NeedsEdit` (`home_missing`)."""
    if settings.home is None:
        raise NeedsEdit(
            "home_missing",
            f"there is no gateway in {working_directory()} or above,"
            " and MOSAIC_DATABASE_URL is not set",
            hint=f"{FIND_HOME}; or create a gateway here: `mosaic federation init`",
        )
    return settings.home


def print_gateway(settings: Settings) -> None:
    """Print on standard error on which gateway the command acts."""
    if settings.database_url is None:
        gateway = f"the gateway in {require_home(settings).path}"
    else:
        from reconciler.store.connection.conninfo import address_of

        gateway = str(address_of(settings.database_url))
    click.echo(f"acting on {gateway}", err=True)


def print_hint(text: str, *, err: bool = False) -> None:
    """Print what to do next; quoted command lines get the `--home` of this command."""
    click.echo(with_home(text, home_given()), err=err)


def home_given() -> str | None:
    """Return the value of `--home`, or None."""
    return _flags().get("home")


def _flags() -> dict[str, str | None]:
    """Return the settings that are flags of this command."""
    flags: dict[str, str | None] = click.get_current_context().ensure_object(dict)
    return flags


def flags_given(*names: str) -> list[str]:
    """Return the flags of these settings as words of a command line."""
    flags = _flags()
    pairs = [(f"--{each}", text) for each in names if (text := flags.get(each)) is not None]
    return [word for pair in pairs for word in pair]
