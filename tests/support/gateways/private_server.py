"""The private listener for tests: the real application, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from reconciler.authority import Authority
from reconciler.store.db import Database
from reconciler.web.metrics.registry import Metrics
from reconciler.web.private.access import Access
from reconciler.web.private.app import PrivateApp
from reconciler.web.private.pages.app import Pages
from reconciler.web.private.server import PrivateSocket, bind_private, serve_private
from tests.support.beside import beside
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager

    from starlette.types import ASGIApp

T = TypeVar("T")


@dataclass(frozen=True)
class PrivateRunning:
    """A private listener that serves."""

    socket: PrivateSocket
    authority: Authority
    loop: asyncio.AbstractEventLoop
    stopping: asyncio.Event
    stopped: threading.Event

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
        if not self.stopped.is_set():
            self.loop.call_soon_threadsafe(self.stopping.set)
            assert self.stopped.wait(PATIENCE_S)

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)


def serving_private(
    database_url: str, access: Access | None = None, app: ASGIApp | None = None
) -> AbstractContextManager[PrivateRunning]:
    """Serve until the block ends; then stop, and fail where that raises."""

    async def run(ready: Callable[[PrivateRunning], None]) -> None:
        async with Authority(database_url) as authority:
            pages = Pages(Database(database_url, "tests", lasting=True))
            checks = (authority.require_ready,)
            served = app or PrivateApp(
                access or Access(), checks, Metrics("authority"), authority, pages
            )
            listening = bind_private(("127.0.0.1", 0))
            stopping, stopped = asyncio.Event(), threading.Event()
            loop = asyncio.get_running_loop()
            ready(PrivateRunning(listening, authority, loop, stopping, stopped))
            try:
                await serve_private(served, listening, stopping)
            finally:
                stopped.set()

    return beside(run, PrivateRunning.stop)


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    """Check that an answer is a problem, whole, and hands nothing out."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["correlationId"] == answer.headers["x-correlation-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert not [name for name in answer.headers if name.startswith("x-mosaic-")]


def raw_answer(port: int, sent: bytes) -> bytes:
    """Return what a server answers to bytes that no HTTP client would send."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    return answer
