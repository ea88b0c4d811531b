"""The private listener for tests: the real application, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from reconciler.authority import Authority
from reconciler.web.private.access import Access
from reconciler.web.private.app import PrivateApp
from reconciler.web.private.server import PrivateSocket, bind_private, serve_private
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from starlette.types import ASGIApp

T = TypeVar("T")


@dataclass(frozen=True)
class PrivateRunning:
    """A private listener that serves."""

    socket: PrivateSocket
    authority: Authority
    loop: asyncio.AbstractEventLoop
    stopping: asyncio.Event
    worker: threading.Thread

    @property
    def url(self) -> str:
        return self.socket.shown

    @property
    def port(self) -> int:
        port: int = self.socket.socket.getsockname()[1]
        return port

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE_S)

    def stop(self) -> None:
        """Stop it, and wait until it has; again does nothing."""
        if self.worker.is_alive():
            self.loop.call_soon_threadsafe(self.stopping.set)
            self.worker.join(PATIENCE_S)
            assert not self.worker.is_alive()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)


@contextmanager
def serving_private(
    database_url: str, access: Access | None = None, app: ASGIApp | None = None
) -> Iterator[PrivateRunning]:
    """Serve until the block ends; then stop, and fail where that raises."""
    ready = threading.Event()
    running: list[PrivateRunning] = []
    failed: list[BaseException] = []
    stop = asyncio.Event()

    async def run() -> None:
        async with Authority(database_url) as authority:
            served = app or PrivateApp(access or Access(), (authority.require_ready,), authority)
            listening = bind_private(("127.0.0.1", 0))
            running.append(
                PrivateRunning(listening, authority, asyncio.get_running_loop(), stop, worker)
            )
            ready.set()
            await serve_private(served, listening, stop)

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)
        finally:
            ready.set()

    worker = threading.Thread(target=thread)
    worker.start()
    assert ready.wait(PATIENCE_S)
    try:
        if running:
            yield running[0]
    finally:
        if running:
            running[0].stop()
        worker.join(PATIENCE_S)
        if failed:
            raise failed[0]
