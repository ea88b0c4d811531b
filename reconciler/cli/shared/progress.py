"""The progress of a command, line on a terminal only."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
    sys.stderr.write(f"\r{line}")
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write(f"\r{' ' * len(line)}\r")
        sys.stderr.flush()
