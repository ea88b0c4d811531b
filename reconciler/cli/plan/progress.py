"""The progress of a command, line on a terminal only."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from reconciler.core.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def show_progress(what: str) -> Iterator[None]:
    """Show a line on a terminal while the block runs, and erase it afterwards."""
    if not sys.stderr.isatty():
        yield
        return
    line = printable(f"{what} …", max(shutil.get_terminal_size().columns - 1, 20))
    _draw(f"\r{line}")
    try:
        yield
    finally:
        _draw(f"\r{' ' * len(line)}\r")


def _draw(text: str) -> None:
    # as bytes: a return is not text, and would be escaped
    click.echo(text.encode(sys.stderr.encoding, "replace"), nl=False, err=True)
