"""Logging: one line a record on standard error, in UTC, with the peer's name where one is bound."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS: Final = ("debug", "info", "warning", "error")

_peer_name: ContextVar[str] = ContextVar("peer_name", default="")


@contextmanager
def about(peer: str) -> Iterator[None]:
    """Bind the peer's name to each line that is logged within."""
    token = _peer_name.set(peer)
    try:
        yield
    finally:
        _peer_name.reset(token)


class _Line(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        # one line a record: a newline in a message could forge the next one
        line, bound = super().format(record), _peer_name.get()
        return escaped(f"{line} [peer {bound}]" if bound else line)


def configure(level: str) -> None:
    """Log from `level` (one of `LEVELS`) on, to standard error; libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("reconciler").setLevel(level.upper())
