"""`--watch` and `--follow`: what has changed is printed, until Ctrl-C or until nobody reads it.

At a terminal, one screen is drawn over and over; elsewhere, lines are appended.
"""

from __future__ import annotations

import select
import shutil
import sys
import time
from contextlib import suppress
from datetime import timedelta
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from reconciler.cli.shared.signals import interruptible
from reconciler.cli.terminal.streams import print_verbatim
from reconciler.core.model.backoff import Backoff
from reconciler.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

F = TypeVar("F", bound="Callable[..., Any]")

EVERY_S: Final = 2.0
BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(seconds=30))

# ECMA-48 8.3: to the first cell; the rest of a line, and of the screen, is cleared
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


def watch_option(function: F) -> F:
    """Add `--watch`."""
    about = "Show changes as they come, until Ctrl-C."
    return click.option("--watch", is_flag=True, help=about)(function)


def repeat(step: Callable[[], bool], every_s: float = EVERY_S) -> None:
    """Take a step over and over, at once where it returns true, until Ctrl-C ends it.

    A database that is away is waited for.

    Raises:
        BrokenPipeError: nobody reads standard output any more.
    """
    failures = 0
    with suppress(KeyboardInterrupt), interruptible():
        while True:
            try:
                again = step()
                sys.stdout.flush()
                failures, wait_s = 0, 0.0 if again else every_s
            except Retry as error:
                if not failures:  # once as long as it stays
                    click.echo(f"{error}; trying again", err=True)
                wait_s = BACKOFF.wait(failures).total_seconds()
                failures += 1
            _wait_for_reader(wait_s)


def redraw(lines: Sequence[str]) -> None:
    """Draw lines over the screen, as many as it has room for."""
    room = shutil.get_terminal_size().lines - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1:,} more lines"]
    drawn = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
    print_verbatim(f"{_HOME}{drawn}{_CLEAR_REST}")


def at_terminal() -> bool:
    """Tell whether a person sees standard output."""
    return sys.stdout.isatty()


def _wait_for_reader(wait_s: float) -> None:
    """Wait, but not longer than somebody can read what is printed."""
    try:
        descriptor = sys.stdout.fileno()
    except UnsupportedOperation:  # no file
        time.sleep(wait_s)
        return
    reader = select.poll()
    reader.register(descriptor, 0)  # an error or a hang-up is reported all the same, poll(2)
    if reader.poll(wait_s * 1000):
        raise BrokenPipeError
