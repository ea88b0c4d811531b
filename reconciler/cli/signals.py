"""How a command that runs until it is told to stop is told."""

from __future__ import annotations

import asyncio
import logging
import signal

_log = logging.getLogger(__name__)


def until_signal() -> asyncio.Event:
    """Return an event that SIGINT or SIGTERM sets; both end `up`, `serve` and `run` with 0."""
    stop = asyncio.Event()

    def end(number: signal.Signals) -> None:
        _log.debug("%s: what is under way is finished first", number.name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    return stop
