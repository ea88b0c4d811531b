"""Threads in which signatures of peers are verified, so that the event loop serves others."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREADS: Final = 2
MAX_WAITING: Final = 128  # each takes less than a millisecond


class Verifier:
    """A few threads, and a bound on what waits for them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="verification")
        self._waiting = 0

    async def run(self, verify: Callable[..., T], *args: object) -> T:
        """Return what `verify` returns.

        Raises:
            Retry: `unavailable`: too many wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise Retry("unavailable", f"{MAX_WAITING} signatures wait to be verified")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, verify, *args)
        finally:
            self._waiting -= 1
