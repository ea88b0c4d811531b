"""One end of a channel between two processes: JSON messages, and connections that go with them.

Messages arrive whole and in order. Knows nothing of what they mean.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from reconciler.loops.jobs import first_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Receive = Callable[[list[Any], socket.socket | None], None]

MAX_MESSAGE: Final = 64 * 1024  # octets
MAX_QUEUED: Final = 256  # messages, beyond those of the kernel, before a connection is refused
RECEIVED: Final = 256  # messages, before the event loop serves others again


class Channel:
    """One end, from now on within the running event loop.

    `receive` is given each message, with its connection; `lost` is called once if the other end has
    gone.
    """

    def __init__(self, end: socket.socket, receive: Receive, lost: Callable[[], None]) -> None:
        end.setblocking(False)
        self._end, self._receive, self._lost = end, receive, lost
        self._queue: deque[tuple[bytes, socket.socket | None]] = deque()
        self._sent = asyncio.Event()
        self._sent.set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end, self._read)

    def send(self, message: list[Any], connection: socket.socket | None = None) -> bool:
        """Send a message, now or once there is room; return False if it cannot be sent.

        The connection is the other end's from then on, and closed here; it is not sent if too many
        messages wait.
        """
        full = connection is not None and len(self._queue) >= MAX_QUEUED
        if full or self._end.fileno() < 0:
            _close(connection)
            return False
        self._queue.append((json.dumps(message).encode(), connection))
        if self._sent.is_set():
            self._sent.clear()
            self._write()
        return True

    async def flush(self, timeout_s: float) -> None:
        """Wait until everything is sent, but not longer than so long."""
        await first_of(self._sent, timeout_s=timeout_s)

    def close(self) -> None:
        """Close this end; what was not sent is dropped."""
        if self._end.fileno() >= 0:
            self._loop.remove_reader(self._end)
            self._loop.remove_writer(self._end)
            self._end.close()
        while self._queue:
            _close(self._queue.popleft()[1])
        self._sent.set()

    def _write(self) -> None:
        while self._queue:
            octets, connection = self._queue[0]
            try:
                socket.send_fds(self._end, [octets], [connection.fileno()] if connection else [])
            except BlockingIOError:
                self._loop.add_writer(self._end, self._write)
                return
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:  # unix(7): of connections on their way
                    self._loop.remove_writer(self._end)
                    return  # the other end has gone: `_read` tells of it
            self._queue.popleft()
            _close(connection)
        self._loop.remove_writer(self._end)
        self._sent.set()

    def _read(self) -> None:
        for _ in range(RECEIVED):
            try:
                octets, descriptors, _, _ = socket.recv_fds(
                    self._end, MAX_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                octets, descriptors = b"", []
            if not octets:
                self.close()
                self._lost()
                return
            connection = socket.socket(fileno=descriptors[0]) if descriptors else None
            self._receive(json.loads(octets), connection)
            if self._end.fileno() < 0:
                return


def _close(connection: socket.socket | None) -> None:
    if connection is not None:
        with suppress(OSError):
            connection.close()
