"""How an error ends a command: its exit code, and its report on standard error."""

from __future__ import annotations

import errno
import logging
import traceback
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.invocation import with_home
from reconciler.core.model.text import escaped, json_text, printable, without_credentials
from reconciler.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    InvalidManifests,
    MosaicError,
    Refused,
)
from reconciler.files import remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INTERNAL_HINT: Final = "run it again with --log-level debug for the traceback"
MAX_CHAIN: Final = 8  # exceptions of one traceback

# faults of the machine, as opposed to faults of this program (errno(3))
_OF_THE_MACHINE: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}
    | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
)


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the arguments contain `--output json`, even if they are wrong otherwise."""
    words = [word for word in arguments if word != "--"]
    together = {"--output=json", "-ojson", "-o=json"}
    return not together.isdisjoint(words) or any(
        option in ("--output", "-o") and value == "json" for option, value in pairwise(words)
    )


class ErrorReport:
    """The report of the error that ended a command; `home` is the value of the flag."""

    def __init__(self, *, as_json: bool, home: str | None = None) -> None:
        self._as_json = as_json
        self._home = home

    def of(self, error: Exception) -> int:
        """Report an error and return the exit code."""
        match error:
            case click.ClickException():
                return self._usage(error)
            case MosaicError():
                return self._known(error)
            case OSError() if (translated := file_unusable(error)) is not None:
                translated.__cause__ = error
                return self._known(translated)
            case _:
                return self._internal(error)

    def interrupted(self) -> int:
        """Report that a person has interrupted the command."""
        self._print("interrupted", "interrupted", "", EXIT_INTERRUPTED)
        return EXIT_INTERRUPTED

    def _known(self, error: MosaicError) -> int:
        message, hint = error.message, error.hint
        if isinstance(error, InvalidManifests) and self._as_json:
            if error.code == "manifest_invalid":
                hint = "`mosaic federation validate --output json` lists them; nothing was changed"
            else:  # not on disk, so `validate` would not list them
                message = "; ".join(str(problem) for problem in error.problems)
        elif isinstance(error, InvalidManifests):
            for problem in error.problems:
                click.echo(escaped(str(problem)), err=True)
        _trace(error)
        self._print(error.code, message, hint, error.exit_code)
        return error.exit_code

    def _internal(self, error: Exception) -> int:
        message = f"internal error: {type(error).__name__}: {_first_line(error)}"
        _trace(error)
        self._print("internal", message, INTERNAL_HINT, EXIT_FAILED)
        return EXIT_FAILED

    def _usage(self, error: click.ClickException) -> int:
        if isinstance(error, click.exceptions.NoArgsIsHelpError) and not self._as_json:
            click.echo(error.format_message(), err=True)
            return EXIT_USAGE
        hint = ""
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"see `{error.ctx.command_path} --help`"
        self._print("usage", printable(error.format_message(), 2000), hint, EXIT_USAGE)
        return EXIT_USAGE

    def _print(self, code: str, message: str, hint: str, exit_code: int) -> None:
        hint = with_home(hint, self._home)
        if self._as_json:
            error = {"code": code, "message": message, "hint": hint, "exitCode": exit_code}
            click.echo(json_text({"error": error}), err=True)
            return
        click.echo(f"error: {escaped(message)}", err=True)
        if hint:
            click.echo(f"  {escaped(hint)}", err=True)


def file_unusable(error: OSError) -> Refused | None:
    """Return an error of the operating system as ours, or None if it is not about a file.

    This is for errors that no command has translated in its own words.
    """
    if error.errno is None or (error.filename is None and error.errno not in _OF_THE_MACHINE):
        return None
    place = error.filename2 or error.filename
    name = f"{printable(str(place), 255)!r}: " if place is not None else ""
    return Refused("file_unusable", f"{name}{error.strerror}", hint=remedy(error))


def _trace(error: BaseException) -> None:
    """Print the traceback, with the causes, if the log level is debug."""
    if logging.getLogger("reconciler").isEnabledFor(logging.DEBUG):
        for each in reversed(list(_chain(error))):
            click.echo("Traceback (most recent call last):", err=True)
            click.echo("".join(traceback.format_tb(each.__traceback__)), nl=False, err=True)
            click.echo(f"{type(each).__name__}: {_first_line(each)}", err=True)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    following: BaseException | None = error
    for _ in range(MAX_CHAIN):
        if following is None:
            return
        yield following
        following = following.__cause__ or following.__context__


def _first_line(error: BaseException) -> str:
    # the further lines of a database's error print the row
    return printable(without_credentials(str(error).strip().partition("\n")[0]), 500)
