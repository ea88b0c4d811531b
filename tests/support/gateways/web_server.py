"""A server for tests: the real application over real TLS, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx

from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.model.origin import server_names
from reconciler.core.setting_values import RateLimit
from reconciler.core.telemetry import SILENT, Telemetry
from reconciler.enroll import Gateway
from reconciler.store.async_database import AsyncDatabase
from reconciler.web.app import make_app
from reconciler.web.limits import Capacity, Limits
from reconciler.web.server.certificate import ServerCertificate
from reconciler.web.server.server import Server
from tests.support.beside import beside
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager
    from pathlib import Path

    from starlette.types import ASGIApp

    from reconciler.clients.step_ca.client import CaClient
    from reconciler.core.model.origin import Address
    from reconciler.core.setting_values import Network
    from reconciler.web.server.process_pool import ProcessPool

T = TypeVar("T")

ANY_PORT: Final = ("127.0.0.1", 0)
CAPACITY: Final = Capacity()
UNLIMITED: Final = RateLimit(0, 0)


@dataclass(frozen=True)
class Parts:
    """What a gateway under test is made of."""

    database_url: str = field(repr=False)
    roots: tuple[str, ...]
    ca: Callable[[], CaClient]
    public_url: str = "https://127.0.0.1"
    suspend_on_theft: bool = False
    telemetry: Telemetry = SILENT

    def gateway(self) -> Gateway:
        """Return a gateway; its connections belong to the loop that uses it first."""
        database = AsyncDatabase(self.database_url, "test web", pool_size=4)
        return Gateway(
            database,
            self.ca(),
            b"p" * 32,
            DEFAULT_OID_ARC,
            self.roots,
            self.public_url,
            suspend_on_theft=self.suspend_on_theft,
            telemetry=self.telemetry,
        )


@dataclass(frozen=True)
class Running:
    """A server that serves."""

    server: Server
    certificate: ServerCertificate
    loop: asyncio.AbstractEventLoop
    tls: ssl.SSLContext
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return self.server.address[1]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def wait_for(self, work: Coroutine[Any, Any, T], timeout_s: float = PATIENCE_S) -> T:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def stop(self) -> None:
        """Stop it; again does nothing."""
        if not self.stopped.is_set():
            self.stopped.set()
            self.wait_for(self.server.stop())

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.tls, trust_env=False, timeout=PATIENCE_S)

    def connect(
        self, source: str = "127.0.0.1", session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        """Return a bare TLS connection, from an address of 127.0.0.0/8."""
        address = ("127.0.0.1", self.port)
        raw = socket.create_connection(address, PATIENCE_S, source_address=(source, 0))
        return self.tls.wrap_socket(raw, server_hostname="127.0.0.1", session=session)


def trusting(roots: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata="".join(roots))
    context.set_alpn_protocols(["http/1.1"])
    return context


def serving(
    parts: Parts,
    *,
    rate_limit: RateLimit = UNLIMITED,
    trusted_proxies: tuple[Network, ...] = (),
    capacity: Capacity = CAPACITY,
    app: ASGIApp | None = None,
    cache: Path | None = None,
    address: Address = ANY_PORT,
    pool: Callable[[Limits, Gateway], ProcessPool] | None = None,
) -> AbstractContextManager[Running]:
    """Serve until the block ends; then stop, and fail where that raises."""

    async def run(ready: Callable[[Running], None]) -> None:
        gateway = parts.gateway()
        limits = Limits(capacity, rate_limit, trusted_proxies)
        served = app or make_app(gateway, limits)
        names = server_names((gateway.public_url,), address)
        certificate = ServerCertificate(gateway.ca.sign_server, names, parts.roots, cache=cache)
        processes = pool(limits, gateway) if pool is not None else None
        server = Server(served, address, certificate, limits, trusted_proxies, pool=processes)
        running = asyncio.create_task(server.run())
        starting = asyncio.create_task(server.started.wait())
        await asyncio.wait({running, starting}, return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        loop = asyncio.get_running_loop()
        ready(Running(server, certificate, loop, trusting(parts.roots)))
        try:
            await running
        finally:
            await gateway.ca.aclose()
            await gateway.database.close()

    return beside(run, Running.stop)
