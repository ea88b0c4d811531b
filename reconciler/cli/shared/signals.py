"""Signals, as commands take them."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from reconciler.errors import Retry
from reconciler.store.connection.severing import sever_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    _Handler = Callable[[int, FrameType | None], object] | signal.Handlers

DATABASE_S: Final = 4.0  # as long as requests have

_log = logging.getLogger(__name__)


def until_signal() -> asyncio.Event:
    """Return an event that SIGINT or SIGTERM sets; both end `up`, `serve` and `run` with 0.

    A database that hangs is waited for a few seconds longer: then its connections are cut.
    """
    stop = asyncio.Event()

    def end(number: signal.Signals) -> None:
        _log.debug("%s: finishing what is under way", number.name)
        stop.set()
        loop.call_later(DATABASE_S, sever_all)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    return stop


@contextmanager
def ended_by(stop: asyncio.Event) -> Iterator[None]:
    """Leave out a failure after the signal: what it stopped, such as a start, is no failure."""
    try:
        yield
    except Retry as error:
        if not stop.is_set():
            raise
        _log.debug("stopped: %s", error)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and a terminal's end raise `KeyboardInterrupt`, as Ctrl-C does."""
    with _handling(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def uninterruptible() -> Iterator[None]:
    """Finish a block of a second or two whatever signal comes."""
    with _handling(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def _handling(handler: _Handler, *numbers: signal.Signals) -> Iterator[None]:
    before = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, former in before:
            signal.signal(number, former)
