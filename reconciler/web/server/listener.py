"""Connections as they come: limited, then what a proxy says of them is read, then TLS begins."""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio.sslproto import SSLProtocol
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from reconciler.web.client_address import client_address, is_one_of
from reconciler.web.server.proxy_protocol import read_source

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from reconciler.core.model.origin import Address
    from reconciler.core.setting_values import Network
    from reconciler.web.limits import Admission, Limits

    Protocols = Callable[[Address | None, Admission], asyncio.Protocol]

HANDSHAKE_S: Final = 10.0  # for TLS, and for a proxy's header before it
CLOSE_S: Final = 2.0  # for a client to answer our close_notify; asyncio would wait for 30 s
UNACKNOWLEDGED_S: Final = 20.0  # then the kernel ends a connection whose octets nobody takes
ACCEPTED: Final = 256  # connections, before the event loop serves others again
RETRY_S: Final = 1.0  # once the system has no descriptor or memory left for a connection

# asyncio (3.11 to 3.14) gives each TLS connection a buffer of 256 KiB at once: measured, 287 KiB a
# connection instead of 65. A record has 16 KiB.
SSLProtocol.max_size = 32 * 1024

_log = logging.getLogger(__name__)


class Listener:
    """Stands for the asyncio servers of uvicorn 0.54.0, which read nothing before TLS.

    Gives each connection of a listening socket a protocol over TLS, until it is closed; those that
    the limits do not admit are closed before anything is read.

    A connection from `proxies` must begin with a PROXY header; `protocol` is given the client that
    it names. A connection from elsewhere has none: a PROXY header is no TLS, so it is closed.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Protocols,
        context: ssl.SSLContext,
        limits: Limits,
        proxies: tuple[Network, ...],
    ) -> None:
        listening.setblocking(False)
        timeout_ms = int(UNACKNOWLEDGED_S * 1000)  # which each connection inherits
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        self._listening, self._protocol = listening, protocol
        self._context, self._limits, self._proxies = context, limits, proxies
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._retrying: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more, and hang up on those who are not through the handshake."""
        if self._retrying is not None:
            self._retrying.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
        for task in self._opening:
            task.cancel()

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
            client = client_address(address[0])
            admission = self._limits.admit_connection(client)
            if admission is None:
                connection.close()
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection, client, admission))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, address: str, admission: Admission) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        admission.end_with(task.cancel)
        client = None
        if is_one_of(address, self._proxies):
            try:
                client = await self._named_by_proxy(connection)
            except (OSError, ValueError, asyncio.CancelledError) as error:
                if isinstance(error, ValueError) and self._allows_line(address):
                    _log.warning("closed the connection of the proxy %s: %s", address, error)
                connection.close()
                admission.give_back()
                return
        if client is not None:
            admission.give_back()
            other = self._limits.admit_connection(client_address(client[0]))
            if other is None:
                connection.close()
                return
            admission = other
            admission.end_with(task.cancel)
        with suppress(OSError):  # no handshake: asyncio has closed it
            await self._shake_hands(connection, client, admission)

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
