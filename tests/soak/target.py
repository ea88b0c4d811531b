"""What is attacked, and what comes of it."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.crypto.keys import PrivateKey

WRONG: Final = "WRONG"
PATIENCE_S: Final = 30.0


@dataclass
class Target:
    """Where the attacks go: the ports of one gateway's endpoints, one after the other.

    `tokens` were given to the attackers, and `keys` have spent them.
    """

    ports: tuple[int, ...]
    tokens: tuple[str, ...] = ()
    results: Counter[str] = field(default_factory=Counter)
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    enrolling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._next: Iterator[int] = itertools.cycle(self.ports)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # who attacks asks for no certificate
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def token(self, number: int) -> str:
        """Return one of the tokens."""
        return self.tokens[number % len(self.tokens)]

    async def connect(self, source: str, *, buffer: int = 0) -> socket.socket:
        """Return a TCP connection from an address; `buffer` bounds what it receives unread."""
        raw = socket.socket()
        raw.setblocking(False)
        if buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            raw.bind((source, 0))
            async with asyncio.timeout(PATIENCE_S):
                address = ("127.0.0.1", next(self._next))
                await asyncio.get_running_loop().sock_connect(raw, address)
        except BaseException:
            raw.close()
            raise
        return raw

    async def open(
        self, source: str, *, buffer: int = 0
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a TLS connection from an address."""
        raw = await self.connect(source, buffer=buffer)
        try:
            return await asyncio.open_connection(
                sock=raw, ssl=self._tls, server_hostname="x", ssl_handshake_timeout=PATIENCE_S
            )
        except BaseException:
            raw.close()
            raise
