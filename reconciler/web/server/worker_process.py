"""A process that serves connections which this one accepted, from its start to its end."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from reconciler.loops.jobs import first_of
from reconciler.web.server.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.model.origin import Address

END_S: Final = 6.0  # for its last requests, which take `GRACE_S` at most, and its exit
EXIT_S: Final = 1.0  # once its end of the channel is closed


@dataclass(frozen=True, slots=True)
class Command:
    """How a process is started: `words`, then the number of its channel; `order` is its input."""

    words: tuple[str, ...]
    order: bytes = field(repr=False)


class WorkerProcess:
    """One process, running since this was made within the event loop.

    It is `ready` once it can be given connections, and `ended` when its channel is closed.
    `receive` is given what it tells of its work.
    """

    def __init__(
        self, command: Command, receive: Callable[[WorkerProcess, list[Any]], None]
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                # a session of its own: a terminal's Ctrl-C reaches us alone
                self._process = subprocess.Popen(
                    [*command.words, str(theirs.fileno())],
                    stdin=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(command.order)  # less than a pipe holds
        self._tell = receive
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Event] = {}
        self.ready, self.ended = asyncio.Event(), asyncio.Event()
        self._channel = Channel(ours, self._receive, self._end)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def give(self, connection: socket.socket, address: str, client: Address | None) -> bool:
        """Give it a connection; return False, and close that, if it takes no more."""
        return self._channel.send(["connection", address, client], connection)

    def certify(self, pem: bytes) -> None:
        """Give it the private key and the certificates that it serves from now on."""
        self._channel.send(["certificate", pem.decode("ascii")])

    def tell_taken(self, kind: str, key: str) -> None:
        """Tell it what another process has let in of the limits of grants."""
        self._channel.send(["taken", kind, key])

    async def answer(self) -> None:
        """Return once its event loop has answered, or it has ended."""
        number, answered = next(self._numbers), asyncio.Event()
        self._answers[number] = answered
        try:
            self._channel.send(["check", number])
            await first_of(answered, self.ended)
        finally:
            del self._answers[number]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def end(self) -> str:
        """Let it finish its requests; return how it ended."""
        try:
            self._channel.send(["stop"])
            await first_of(self.ended, timeout_s=END_S)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, EXIT_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
            code = self._process.wait()
            self._channel.close()
        return f"code {code}" if code >= 0 else signal.Signals(-code).name

    def _end(self) -> None:
        self.ready.clear()
        self.ended.set()

    def _receive(self, message: list[Any], _connection: socket.socket | None) -> None:
        match message:
            case ["ready"]:
                self.ready.set()
            case ["checked", number]:
                if number in self._answers:
                    self._answers[number].set()
            case _:
                self._tell(self, message)
