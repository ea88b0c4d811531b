"""A transport that sends the parts of an answer together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio

MAX_UNSENT: Final = 64 * 1024  # octets; more are sent at once, so that flow control sees them


class JoinedTransport:
    """Sends what is written within one turn of the event loop in one piece.

    uvicorn 0.54.0 writes the head and the body of an answer one after the other. Each would be a
    system call that wakes the client, which was a fifth of the processor's time of a short answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._unsent = bytearray()

    def __getattr__(self, name: str) -> Any:
        """Return what the transport has; an abort drops what is unsent."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send the octets at the end of this turn, or now if they are many."""
        if data and not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent += data
        if len(self._unsent) > MAX_UNSENT:
            self._send()

    def close(self) -> None:
        """Send what is unsent, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, bytearray()
            self._transport.write(unsent)
