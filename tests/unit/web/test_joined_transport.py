"""What is written in one turn of the event loop is sent together, in order, and before the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from reconciler.web.server.joined_transport import MAX_UNSENT, JoinedTransport

if TYPE_CHECKING:
    from collections.abc import Callable


class Recorder:
    """A transport that notes what it is told to do."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def write(self, data: bytes) -> None:
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


def sent_by(use: Callable[[Any], None]) -> list[object]:
    """Return what the transport is told in the turn of `use` and in the next."""

    async def run() -> list[object]:
        recorder = Recorder()
        transport = cast("asyncio.Transport", recorder)
        use(JoinedTransport(transport, asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return recorder.calls

    return asyncio.run(run())


def test_head_and_body_are_sent_together() -> None:
    def answer(transport: asyncio.Transport) -> None:
        for part in (b"head ", b"body", b""):
            transport.write(part)

    assert sent_by(answer) == [b"head body"]


def test_a_close_sends_first_and_an_abort_ends_at_once() -> None:
    def close(transport: asyncio.Transport) -> None:
        transport.write(b"last")
        transport.close()

    def abort(transport: asyncio.Transport) -> None:
        transport.abort()

    assert sent_by(close) == [b"last", "close"]
    assert sent_by(abort) == ["abort"]


def test_a_long_answer_is_sent_as_it_is_written() -> None:
    """The transport's flow control must see it, or it would all be in memory."""

    def stream(transport: asyncio.Transport) -> None:
        for part in (b"a" * MAX_UNSENT, b"b", b"c"):
            transport.write(part)

    assert sent_by(stream) == [b"a" * MAX_UNSENT + b"b", b"c"]
