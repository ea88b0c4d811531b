"""What a command is busy with, for a person who looks; nothing where nobody does."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.core.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show a line on a terminal as long as the block takes, and take it away again."""
    if not sys.stderr.isatty():
        yield
        return
    shown = printable(f"{what} …", max(shutil.get_terminal_size().columns - 1, 20))
    sys.stderr.write(f"\r{shown}")
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write(f"\r{' ' * len(shown)}\r")
        sys.stderr.flush()
