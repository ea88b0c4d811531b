"""Connections as they come: what a proxy says of them is read, then TLS begins."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from reconciler.web.client_address import is_one_of
from reconciler.web.server.proxy_protocol import read_source

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from reconciler.core.model.origin import Address
    from reconciler.core.setting_values import Network

HANDSHAKE_S: Final = 10.0  # for TLS, and for a proxy's header before it
CLOSE_S: Final = 2.0  # for a client to answer our close_notify; asyncio would wait for 30 s
RETRY_S: Final = 1.0  # once the system has no descriptor or memory left for a connection

_log = logging.getLogger(__name__)


class Listener:
    """Stands for the asyncio servers of uvicorn 0.54.0, which read nothing before TLS.

    Gives each connection of a listening socket a protocol over TLS, until it is closed.

    A connection from `proxies` must begin with a PROXY header; `protocol` is given the client that
    it names. A connection from elsewhere has none: a PROXY header is no TLS, so it is closed.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[Address | None], asyncio.Protocol],
        context: ssl.SSLContext,
        proxies: tuple[Network, ...],
    ) -> None:
        listening.setblocking(False)
        self._listening, self._protocol = listening, protocol
        self._context, self._proxies = context, proxies
        self._opening: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept no more, and hang up on those who are not through the handshake."""
        for task in (self._accepting, *self._opening):
            task.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listening)
            except ConnectionError:  # it is gone again
                continue
            except OSError as error:
                _log.error("no connection can be accepted: %s", error.strerror)
                await asyncio.sleep(RETRY_S)
                continue
            task = asyncio.create_task(self._open(connection, address[0]))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, address: str) -> None:
        client = None
        if is_one_of(address, self._proxies):
            try:
                client = await self._named_by_proxy(connection)
            except (OSError, ValueError, asyncio.CancelledError) as error:
                if isinstance(error, ValueError):
                    _log.warning("closed the connection of the proxy %s: %s", address, error)
                connection.close()
                return
        with suppress(OSError):  # no handshake: asyncio has closed it
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(client),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=CLOSE_S,
            )

    async def _named_by_proxy(self, connection: socket.socket) -> Address | None:
        loop = asyncio.get_running_loop()

        async def read(size: int) -> bytes:
            line = b""
            while len(line) < size:
                part = await loop.sock_recv(connection, size - len(line))
                if not part:
                    raise ConnectionResetError("it ended before its PROXY header did")
                line += part
            return line

        async with asyncio.timeout(HANDSHAKE_S):
            return await read_source(read)
