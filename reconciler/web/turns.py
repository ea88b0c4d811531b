"""Whose turn it is to begin: clients one after the other, a few in each round of the event loop.

All that is ready runs in one round of the event loop, so that many requests at once make each
round long, and a request that goes to the database 15 times waits for 15 such rounds. With turns a
round stays short, and a client that sends little does not wait behind one that sends much.
"""

from __future__ import annotations

import asyncio
from collections import deque

Queue = deque["asyncio.Future[None]"]


class Turns:
    """Gives `each_round` turns in each round of the event loop, to one client after the other."""

    def __init__(self, each_round: int) -> None:
        self._each_round = each_round
        self._queues: dict[str, Queue] = {}  # the next client first
        self._giving = False

    async def wait(self, client: str) -> None:
        """Return when it is the client's turn."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._queues.setdefault(client, deque()).append(turn)
        if not self._giving:
            self._giving = True
            loop.call_soon(self._give)
        await turn

    def _give(self) -> None:
        left = self._each_round
        while left and self._queues:
            client = next(iter(self._queues))
            queue = self._queues.pop(client)
            turn = queue.popleft()
            if queue:  # behind all others
                self._queues[client] = queue
            if not turn.done():  # nobody waits for a turn that was cancelled
                turn.set_result(None)
                left -= 1
        self._giving = bool(self._queues)
        if self._giving:
            asyncio.get_running_loop().call_soon(self._give)
