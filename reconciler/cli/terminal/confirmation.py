"""The question before a change that cannot be undone, which a person answers at a terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Final

import click

from reconciler.errors import NeedsEdit, Refused

MAX_LINE: Final = 4096  # octets: a terminal has no longer line, termios(3)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before a change that cannot be undone.

    Raises:
        NeedsEdit: `confirmation_needed`: there is no terminal.
        Refused: `declined`: the answer is no.
    """
    if yes:
        return
    if not can_ask():
        raise NeedsEdit(
            "confirmation_needed",
            "there is no terminal for the confirmation",
            hint="pass --yes to continue without confirmation",
        )
    if not _agrees(question):
        raise Refused("declined", "cancelled", hint="nothing was changed")


def _agrees(question: str) -> bool:
    """Ask until the answer is yes or no. Enter alone is no."""
    while True:
        click.echo(f"{question} [y/N]: ", nl=False, err=True)
        line = _read_line()
        if not line:
            raise click.Abort
        answer = line.strip().lower()
        if answer in ("", "n", "no", "y", "yes"):
            return answer in ("y", "yes")
        click.echo("Error: answer yes or no", err=True)


def can_ask() -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _read_line() -> str:
    """Return the next line that is typed at the terminal, or an empty text at its end.

    `input` loses a signal that arrives after Python last looked for one and before the read blocks:
    it waits for Enter. Here the signal's number is in a pipe by then, and `select` returns at once.
    """
    terminal = sys.stdin.fileno()
    numbers, writer = os.pipe()
    os.set_blocking(writer, False)
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        while terminal not in select.select([terminal, numbers], [], [])[0]:
            os.read(numbers, 1)  # of a signal whose handler raised nothing
        return os.read(terminal, MAX_LINE).decode(errors="replace")
    finally:
        signal.set_wakeup_fd(former)
        os.close(numbers)
        os.close(writer)
