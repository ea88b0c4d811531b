"""The reconciler's loop in this process, beside the test that looks at what it does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.beside import beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.loops.run import Loop


def while_running(loop: Loop, story: Callable[[], None]) -> None:
    """Run the loop in a thread of its own as long as the story takes."""
    stop = asyncio.Event()

    async def run(ready: Callable[[asyncio.AbstractEventLoop], None]) -> None:
        ready(asyncio.get_running_loop())
        await loop.run(stop)

    with beside(run, lambda running: running.call_soon_threadsafe(stop.set)):
        story()
