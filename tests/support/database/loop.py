"""The reconciler's loop in this process, beside the test that looks at what it does."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.loops.run import Loop


def while_running(loop: Loop, story: Callable[[], None]) -> None:
    """Run the loop in a thread of its own as long as the story takes."""
    ready: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        ready.append((asyncio.get_running_loop(), stop))
        await loop.run(stop)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        story()
    finally:
        wait_until(lambda: bool(ready), "the loop")
        ready[0][0].call_soon_threadsafe(ready[0][1].set)
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
