"""How an error ends a command: its exit code, and its report on standard error."""

from __future__ import annotations

import logging
import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.invocation import with_home
from reconciler.cli.terminal.streams import errors_are_events, print_verbatim
from reconciler.core.model.text import escaped, json_text, printable
from reconciler.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    InvalidManifests,
    MosaicError,
)
from reconciler.files import file_unusable
from reconciler.log import first_line, json_event, traceback_text

if TYPE_CHECKING:
    from collections.abc import Sequence

# -v and -y may stand before -o in one word
_OPTION: Final = re.compile(r"--output|-[vy]*o")
_TOGETHER: Final = re.compile(r"--output=json|-[vy]*o=?json")
INTERNAL_HINT: Final = "run it again with --log-level debug for the traceback"


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the arguments contain `--output json`, even if they are wrong otherwise."""
    words = [word for word in arguments if word != "--"]
    return any(map(_TOGETHER.fullmatch, words)) or any(
        _OPTION.fullmatch(option) and value == "json" for option, value in pairwise(words)
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
        self._print(error.code, message, hint, error.exit_code, error)
        return error.exit_code

    def _internal(self, error: Exception) -> int:
        message = f"internal error: {type(error).__name__}: {first_line(error)}"
        self._print("internal", message, INTERNAL_HINT, EXIT_FAILED, error)
        return EXIT_FAILED

    def _usage(self, error: click.ClickException) -> int:
        if isinstance(error, click.exceptions.NoArgsIsHelpError) and not self._as_json:
            click.echo(error.format_message(), err=True)
            return EXIT_USAGE
        hint = ""
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"see `{error.ctx.command_path} --help`"
            if isinstance(error, click.NoSuchOption) and isinstance(error.cmd, click.Group):
                hint = f"write the options of a command after it; {hint}"
        self._print("usage", printable(error.format_message(), 2000), hint, EXIT_USAGE)
        return EXIT_USAGE

    def _print(
        self, code: str, message: str, hint: str, exit_code: int, cause: Exception | None = None
    ) -> None:
        """Print the report, below the traceback of its `cause` if the log level is debug."""
        hint, trace = with_home(hint, self._home), ""
        if cause is not None and logging.getLogger("reconciler").isEnabledFor(logging.DEBUG):
            trace = traceback_text(cause)
        if errors_are_events() and (trace or not self._as_json):
            more = {"code": code, "hint": hint or None} | ({"traceback": trace} if trace else {})
            print_verbatim(f"{json_event(message, logging.ERROR, **more)}\n", sys.stderr)
        elif trace:
            click.echo(trace, nl=False, err=True)
        if self._as_json:
            error = {"code": code, "message": message, "hint": hint, "exitCode": exit_code}
            print_verbatim(f"{json_text({'error': error})}\n", sys.stderr)
        elif not errors_are_events():
            click.echo(f"error: {escaped(message)}", err=True)
            if hint:
                click.echo(f"  {escaped(hint)}", err=True)
