"""How a command that runs until it is told to stop is told."""

from __future__ import annotations

import asyncio
import signal


def until_signal() -> asyncio.Event:
    """Return an event that SIGINT or SIGTERM sets; both end `up`, `serve` and `run` with 0."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
