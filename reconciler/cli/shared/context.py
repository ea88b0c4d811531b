"""What verbs share: the options that are everywhere, the settings, the database, a confirmation."""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from reconciler.cli.shared.invocation import with_home
from reconciler.cli.shared.streams import working_directory
from reconciler.config import Settings, database_source, load_settings
from reconciler.core.model.times import format_duration, parse_duration
from reconciler.core.settings import SourceSetting, is_url
from reconciler.errors import NeedsEdit, Refused
from reconciler.log import LEVELS, configure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.store.connection.conninfo import Source
    from reconciler.store.db import Database

F = TypeVar("F", bound="Callable[..., Any]")

MAX_WAIT: Final = timedelta(hours=1)


class DurationType(click.ParamType[timedelta]):
    """A duration such as `30s`, `5m` or `24h`, up to `longest`."""

    name = "duration"

    def __init__(self, longest: timedelta = timedelta.max) -> None:
        self._longest = longest

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> timedelta:
        """Return the duration of a text."""
        if isinstance(value, timedelta):
            return value
        try:
            found = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if found > self._longest:
            self.fail(f"got {value!r}, expected up to {format_duration(self._longest)}", param, ctx)
        return found


DURATION: Final = DurationType()


def verb(function: F) -> F:
    """Add the options that every verb takes: `--home`, `-v`, `--log-level`."""
    return _verb(function, "warning")


def long_running(function: F) -> F:
    """Add what `verb` adds to one that runs until it is told to stop: it logs what it does."""
    return _verb(function, "info")


def _verb(function: F, default_level: str) -> F:
    @click.option("--home", help="The folder of an embedded gateway.", metavar="DIR")
    @click.option("-v", "--verbose", is_flag=True, help="Log all that is done: --log-level debug.")
    @click.option("--log-level", type=click.Choice(LEVELS), help="What is logged to stderr.")
    @functools.wraps(function)
    def wrapped(
        *args: Any, home: str | None, verbose: bool, log_level: str | None, **kwargs: Any
    ) -> Any:
        configure(log_level or ("debug" if verbose else default_level))
        _flags()["home"] = home
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]  # the same signature, for click


def source_option(function: F) -> F:
    """Add `--source`, `--ref` and `--path`, for a verb that reads manifests or writes them."""

    @click.option(
        "--source", metavar="DIR|URL", help="A folder of manifests, or a git URL (MOSAIC_SOURCE)."
    )
    @click.option("--ref", help="The git ref to read: a branch, a tag, a hash (MOSAIC_REF).")
    @click.option(
        "--path", "within", metavar="DIR", help="The folder within the repository (MOSAIC_PATH)."
    )
    @functools.wraps(function)
    def wrapped(
        *args: Any, source: str | None, ref: str | None, within: str | None, **kwargs: Any
    ) -> Any:
        _flags().update(source=source, ref=ref, path=within)
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]  # the same signature, for click


def settings(**flags: str | None) -> Settings:
    """Return the settings of this command; `flags` are those that it takes itself."""
    return load_settings(_given(flags), os.environ, working_directory())


def settings_for_new_home(**flags: str | None) -> Settings:
    """Return the settings of a command that may make the home that is named."""
    return load_settings(_given(flags), os.environ, working_directory(), making_home=True)


def source_of_path(path: str) -> SourceSetting:
    """Return the source that a command's PATH names, whatever the settings say."""
    try:
        cache = settings().cache
    except NeedsEdit:
        cache = None
    return _source_at(path, cache)


def _source_at(path: str, cache: str | None) -> SourceSetting:
    flags, location = _flags(), path if is_url(path) else str(working_directory() / path)
    ref, within = flags.get("ref") or None, flags.get("path") or None
    return SourceSetting(location, ref, within, cache, "--ref")


def source_of(found: Settings, path: str | None) -> SourceSetting:
    """Return the source: a command's PATH, with the flags `--ref` and `--path`; else the setting.

    Raises:
        NeedsEdit: `config_invalid`: neither is there.
    """
    if path is not None:
        return _source_at(path, found.cache)
    if found.source is None:
        raise NeedsEdit(
            "config_invalid",
            "there is no source of manifests",
            hint="run inside a gateway's home, name a folder, or set MOSAIC_SOURCE",
        )
    return found.source


@contextmanager
def opened_source(found: Settings) -> Iterator[Source]:
    """Give how the database is reached; an embedded server runs as long as the block.

    Raises:
        NeedsEdit: `home_missing`: there is neither a home nor MOSAIC_DATABASE_URL.
    """
    source = database_source(found)
    if source is not None:
        yield source
        return
    home = require_home(found)
    from reconciler.embedded.postgres.home_server import postgres

    with postgres(home) as url:
        yield url


@contextmanager
def database(found: Settings, name: str, *, lasting: bool = False) -> Iterator[Database]:
    """Open the database of a command whose schema is current; `name` shows in its connections.

    To a `lasting` command, every later failure of it is an outage.

    Raises:
        NeedsEdit: `home_missing`, `schema_missing`.
    """
    from reconciler.store.db import Database
    from reconciler.store.locks import application_name
    from reconciler.store.schema import require_current

    with opened_source(found) as source:
        opened = Database(source, application_name(name))
        require_current(opened)
        yield Database(source, application_name(name), lasting=True) if lasting else opened


def require_home(found: Settings) -> Any:
    """Return the home, or raise `home_missing`."""
    if found.home is None:
        raise NeedsEdit(
            "home_missing",
            f"there is no gateway in {working_directory()} or above,"
            " and MOSAIC_DATABASE_URL is not set",
            hint="run `mosaic federation init` here",
        )
    return found.home


def say_gateway(found: Settings) -> None:
    """Say on standard error which gateway a change acts on."""
    if found.database_url is None:
        where = f"the gateway in {require_home(found).path}"
    else:
        from reconciler.store.connection.conninfo import address_of

        where = str(address_of(found.database_url))
    click.echo(f"acting on {where}", err=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        NeedsEdit: `confirmation_needed`: nobody is there to ask.
        Refused: `declined`: the answer is no.
    """
    if yes:
        return
    if not can_ask():
        raise NeedsEdit(
            "confirmation_needed",
            "there is no terminal to ask on",
            hint="pass --yes to go on without asking",
        )
    if not click.confirm(question, err=True):
        raise Refused("declined", "the answer was no", hint="nothing was changed")


def can_ask() -> bool:
    """Tell whether a person is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def wait_lock(function: F) -> F:
    """Add `--wait-lock`."""
    option = click.option(
        "--wait-lock",
        "wait",
        type=DurationType(MAX_WAIT),
        default=timedelta(seconds=30),
        show_default=format_duration(timedelta(seconds=30)),
        help="How long to wait for another one that holds the lock.",
    )
    return option(function)


def say_next(text: str) -> None:
    """Say what to do now; its quoted command lines act on the home that this command was given."""
    click.echo(with_home(text, home_given()))


def home_given() -> str | None:
    """Return the home that this command was given as a flag."""
    return _flags().get("home")


def _flags() -> dict[str, str | None]:
    """Return the settings that this command was given as flags."""
    flags: dict[str, str | None] = click.get_current_context().ensure_object(dict)
    return flags


def flag_given(name: str) -> str | None:
    """Return the text of one of the settings' flags, or None."""
    return _flags().get(name)


def flags_given(*names: str) -> list[str]:
    """Return the settings' flags of this command, as another command takes them."""
    flags = _flags()
    pairs = [(f"--{each}", text) for each in names if (text := flags.get(each)) is not None]
    return [word for pair in pairs for word in pair]


def source_flags_given() -> list[str]:
    """Return the flags of this command that say where manifests are."""
    return [f"--{name}" for name in ("source", "ref", "path") if _flags().get(name) is not None]


def _given(flags: dict[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in (_flags() | flags).items() if text is not None}
