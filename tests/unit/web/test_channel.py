"""A channel between two processes, here between two ends of one."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

from reconciler.web.server import channel
from reconciler.web.server.channel import Channel
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

Received = asyncio.Queue[tuple[list[Any], socket.socket | None]]


def ends(lost: Callable[[], None]) -> tuple[Channel, Channel, Received]:
    """Return an end that sends, one that receives, and what that one has received."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    received: Received = asyncio.Queue()

    def receive(message: list[Any], connection: socket.socket | None) -> None:
        received.put_nowait((message, connection))

    return Channel(ours, receive, lost), Channel(theirs, receive, lambda: None), received


async def next_of(received: Received) -> tuple[list[Any], socket.socket | None]:
    return await asyncio.wait_for(received.get(), PATIENCE_S)


def test_messages_arrive_in_order_with_their_connections_and_the_end_is_told() -> None:
    async def run() -> None:
        lost = asyncio.Event()
        one, other, received = ends(lost.set)
        near, far = socket.socketpair()
        assert one.send(["first", near.fileno()], near)
        assert one.send(["second"])
        message, connection = await next_of(received)
        assert message[0] == "first"
        assert connection is not None
        assert near.fileno() < 0
        with connection, far:
            connection.sendall(b"x")
            assert far.recv(1) == b"x"
        assert await next_of(received) == (["second"], None)
        other.close()
        await asyncio.wait_for(lost.wait(), PATIENCE_S)
        assert not one.send(["third"])

    asyncio.run(run())


def test_a_connection_is_closed_if_too_many_messages_wait_and_no_other_message_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel, "MAX_QUEUED", 2)

    async def run() -> None:
        one, other, received = ends(lambda: None)
        count = 0
        while len(one._queue) < 2:  # the kernel takes some hundreds
            assert one.send([count])
            count += 1
        near, far = socket.socketpair()
        assert not one.send(["connection"], near)
        assert far.recv(1) == b""
        assert one.send([count])
        assert [(await next_of(received))[0] for _ in range(count + 1)] == [
            [number] for number in range(count + 1)
        ]
        await one.flush(PATIENCE_S)
        far.close()
        one.close()
        other.close()

    asyncio.run(run())


def test_too_many_connections_on_their_way_cost_one_and_not_the_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = socket.send_fds

    def send_fds(end: socket.socket, octets: list[bytes], descriptors: list[int]) -> int:
        if descriptors:
            raise OSError(errno.ETOOMANYREFS, "too many references")
        return usual(end, octets, descriptors)

    monkeypatch.setattr(socket, "send_fds", send_fds)

    async def run() -> None:
        one, other, received = ends(lambda: None)
        near, far = socket.socketpair()
        one.send(["connection"], near)
        assert far.recv(1) == b""
        one.send(["next"])
        assert await next_of(received) == (["next"], None)
        far.close()
        one.close()
        other.close()

    asyncio.run(run())
