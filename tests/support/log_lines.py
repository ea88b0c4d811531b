"""The log of this process as a command writes it, for a while."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from reconciler import log

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def logging_as(log_format: str, stream: TextIO | None = None) -> Iterator[logging.Logger]:
    """Log in a format, to standard error unless it is to a stream; give our logger."""
    root, ours = logging.getLogger(), logging.getLogger("reconciler")
    before = (root.handlers[:], root.level, ours.level)
    try:
        log.configure("info", log_format, stream)
        yield ours
    finally:
        root.handlers[:], root.level = before[:2]
        ours.setLevel(before[2])
