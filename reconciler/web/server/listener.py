"""Connections as they come: limited, then what a proxy says of them is read, then TLS begins."""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio.sslproto import SSLProtocol
from typing import TYPE_CHECKING, Final

from reconciler.web.client_address import client_address, is_one_of
from reconciler.web.server.proxy_protocol import read_source

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from reconciler.core.model.origin import Address
    from reconciler.core.setting_values import Network
    from reconciler.web.limits import Admission, Limits

    Protocols = Callable[[Address | None, Admission], asyncio.Protocol]
    HandOver = Callable[[socket.socket, str, Address | None], bool]  # whether it was

HANDSHAKE_S: Final = 10.0  # for TLS, and for a proxy's header before it
CLOSE_S: Final = 2.0  # for a client to answer our close_notify; asyncio would wait for 30 s
UNACKNOWLEDGED_S: Final = 20.0  # then the kernel ends a connection whose octets nobody takes
ACCEPTED: Final = 256  # connections, before the event loop serves others again
RETRY_S: Final = 1.0  # once the system has no descriptor or memory left for a connection

# asyncio (3.11 to 3.14) gives each TLS connection a buffer of 256 KiB at once: measured, 287 KiB a
# connection instead of 65. A record has 16 KiB.
SSLProtocol.max_size = 32 * 1024

_log = logging.getLogger(__name__)


class Connections:
    """Gives each connection a protocol over TLS; who is not admitted is closed before it is read.

    A connection from `proxies` must begin with a PROXY header; `protocol` is given the client that
    it names. A connection from elsewhere has none: a PROXY header is no TLS, so it is closed.

    `hand_over` may give a connection to another process, by the address of its client.
    """

    def __init__(
        self,
        protocol: Protocols,
        context: ssl.SSLContext,
        limits: Limits,
        proxies: tuple[Network, ...] = (),
        hand_over: HandOver | None = None,
    ) -> None:
        self._protocol, self._context = protocol, context
        self._limits, self._proxies, self._hand_over = limits, proxies, hand_over
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def take(self, connection: socket.socket, address: str) -> None:
        """Begin with what was accepted, from the address of who connected."""
        if not is_one_of(address, self._proxies):
            self._assign(connection, address, None)
        elif (admission := self._admitted(connection, address)) is not None:
            self._begin(self._read_header(connection, address, admission), admission)

    def open(self, connection: socket.socket, address: str, client: Address | None) -> None:
        """Serve a connection here; `address` is its client's, and `client` who a proxy named."""
        admission = self._admitted(connection, address)
        if admission is not None:
            self._begin(self._shake_hands(connection, client, admission), admission)

    def close(self) -> None:
        """Hang up on those who are not through the handshake."""
        for task in self._opening:
            task.cancel()

    def _admitted(self, connection: socket.socket, address: str) -> Admission | None:
        admission = self._limits.admit_connection(address)
        if admission is None:
            connection.close()
        else:
            connection.setblocking(False)
        return admission

    def _begin(self, work: Coroutine[None, None, None], admission: Admission) -> None:
        task = self._loop.create_task(work)
        admission.end_with(task.cancel)
        self._opening.add(task)

        def end(_: asyncio.Task[None]) -> None:
            self._opening.discard(task)
            if task.cancelled():  # perhaps before it began
                admission.give_back()

        task.add_done_callback(end)

    def _assign(self, connection: socket.socket, address: str, client: Address | None) -> None:
        if self._hand_over is None or not self._hand_over(connection, address, client):
            self.open(connection, address, client)

    async def _read_header(
        self, connection: socket.socket, address: str, admission: Admission
    ) -> None:
        try:
            client = await self._named_by_proxy(connection)
        except (OSError, ValueError, asyncio.CancelledError) as error:
            if isinstance(error, ValueError) and self._allows_line(address):
                _log.warning("closed the connection of the proxy %s: %s", address, error)
            connection.close()
            admission.give_back()
            return
        if client is None:
            await self._shake_hands(connection, None, admission)
        else:
            admission.give_back()
            self._assign(connection, client_address(client[0]), client)

    def _allows_line(self, address: str) -> bool:
        return self._limits.refusals.allows_line("proxy", address)

    async def _shake_hands(
        self, connection: socket.socket, client: Address | None, admission: Admission
    ) -> None:
        try:
            await self._limits.handshake_turn(admission.client)
        except asyncio.CancelledError:
            connection.close()
            admission.give_back()
            raise
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(client, admission),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=CLOSE_S,
            )
        except OSError:  # no handshake: asyncio has closed it
            admission.give_back()
        except BaseException:
            admission.give_back()
            raise

    async def _named_by_proxy(self, connection: socket.socket) -> Address | None:
        async def read(size: int) -> bytes:
            line = b""
            while len(line) < size:
                part = await self._loop.sock_recv(connection, size - len(line))
                if not part:
                    raise ConnectionResetError("it ended before its PROXY header did")
                line += part
            return line

        async with asyncio.timeout(HANDSHAKE_S):
            return await read_source(read)


class Listener:
    """Stands for the asyncio servers of uvicorn 0.54.0, which read nothing before TLS.

    Accepts what connects to a listening socket, until it is closed.
    """

    def __init__(self, listening: socket.socket, connections: Connections) -> None:
        listening.setblocking(False)
        timeout_ms = int(UNACKNOWLEDGED_S * 1000)  # which each connection inherits
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        self._listening, self._connections = listening, connections
        self._loop = asyncio.get_running_loop()
        self._retrying: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more, and hang up on those who are not through the handshake."""
        if self._retrying is not None:
            self._retrying.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
        self._connections.close()

    def _accept(self) -> None:
        """Accept what waits, many at once: what waits too long is not even a connection."""
        for _ in range(ACCEPTED):
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it is gone again
                continue
            except OSError as error:
                _log.error("no connection can be accepted: %s", error.strerror)
                self._loop.remove_reader(self._listening)
                self._retrying = self._loop.call_later(
                    RETRY_S, self._loop.add_reader, self._listening, self._accept
                )
                return
            self._connections.take(connection, client_address(address[0]))
