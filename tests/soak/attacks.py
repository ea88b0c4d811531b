"""What attackers do to an endpoint, for as long as it takes. To add one, add it to `ATTACKS`.

Each attack has addresses of its own in 127.0.0.0/8, and counts what comes of it in `results`; a
count whose name begins with `WRONG` fails the soak.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from tests.soak.holders import renew_early, replay_spent_token
from tests.soak.requests import (
    BODY_HEAD,
    ENDLESS_HEAD,
    EXPECTING,
    LARGE,
    PROBE,
    SMUGGLED,
    costly_requests,
    token_requests,
)
from tests.soak.target import PATIENCE_S, WRONG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.soak.target import Target


async def probe_slowly(target: Target, number: int) -> None:
    """Hold a connection with a probe every 13 s, as long as the server lets it."""
    reader, writer = await target.open("127.0.10.1")
    try:
        while True:
            writer.write(PROBE)
            if not await reader.read(4096):
                break
            target.results["answered"] += 1
            await asyncio.sleep(13)
    finally:
        writer.close()


async def stay_silent(target: Target, number: int) -> None:
    """Hold a connection without a word, or with half a handshake."""
    raw = await target.connect(f"127.0.11.{number % 4 + 1}")
    with raw:
        if number % 2:
            raw.send(bytes.fromhex("16030102000100") + bytes(100))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_recv(raw, 1)
        target.results["closed"] += 1


async def read_nothing(target: Target, number: int) -> None:
    """Ask for a lot, and read none of it."""
    _, writer = await target.open(f"127.0.12.{number % 30 + 1}", buffer=4096)
    transport = cast("asyncio.Transport", writer.transport)
    transport.pause_reading()
    writer.write(LARGE * 200)
    try:
        await asyncio.sleep(PATIENCE_S)
    finally:
        transport.abort()
    target.results["held for 30 s"] += 1


async def trickle(target: Target, number: int) -> None:
    """Send a head or a body that never ends, an octet a second."""
    reader, writer = await target.open(f"127.0.13.{number % 20 + 1}")
    writer.write((BODY_HEAD, ENDLESS_HEAD, EXPECTING)[number % 3])
    try:
        with suppress(ConnectionError):
            for _ in range(int(PATIENCE_S)):
                writer.write(b"a")
                await asyncio.sleep(1)
                if reader.at_eof() or writer.is_closing():
                    break
            else:
                target.results[f"{WRONG}: a trickle of 30 s was not ended"] += 1
    finally:
        writer.close()
    target.results["ended"] += 1


async def smuggle(target: Target, number: int) -> None:
    """Send what parsers disagree about, with another request behind it."""
    name, request, status = SMUGGLED[number % len(SMUGGLED)]
    reader, writer = await target.open(f"127.0.14.{number % 40 + 1}")
    try:
        writer.write(request + PROBE * 3)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
    finally:
        writer.close()
    answers = answer.count(b"HTTP/1.1 ")
    plain = answer.startswith(f"HTTP/1.1 {status} ".encode()) and answers == 1
    if plain and b"application/problem+json" in answer:
        target.results["refused"] += 1
    else:
        target.results[f"{WRONG}: {name} was answered {answer[:12]!r}, {answers} times"] += 1
    await asyncio.sleep(1)


async def present_costly_keys(target: Target, number: int) -> None:
    """Send CSRs and proofs that are expensive to verify, and unknown tokens, as fast as it goes."""
    reader, writer = await target.open(f"127.0.15.{number % 20 + 1}")
    try:
        for request in (*costly_requests(), *token_requests()):
            writer.write(request)
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            target.results[f"answered {head[9:12].decode()}"] += 1
            if head[9:12] not in (b"400", b"401", b"413", b"422", b"429", b"503"):
                target.results[f"{WRONG}: a key or token was answered {head[9:12]!r}"] += 1
            if b"connection: close" in head.lower():
                break
    finally:
        writer.close()


ATTACKS: Final[dict[str, tuple[Callable[[Target, int], Awaitable[None]], int]]] = {
    "slow probes": (probe_slowly, 1024),  # so many at once
    "silence": (stay_silent, 1300),
    "unread answers": (read_nothing, 300),
    "trickles": (trickle, 200),
    "smuggling": (smuggle, 8),
    "costly keys": (present_costly_keys, 8),
    "spent tokens": (replay_spent_token, 8),
    "early renewals": (renew_early, 8),
}


async def attack(name: str, target: Target) -> None:
    """Run an attack, each of its clients again as soon as it ends, until cancelled."""
    each, count = ATTACKS[name]
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_again(each, target, number))


async def _again(
    each: Callable[[Target, int], Awaitable[None]], target: Target, number: int
) -> None:
    for round_ in itertools.count():
        try:
            await each(target, number + round_)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            target.results[f"ended by {type(error).__name__}"] += 1
            await asyncio.sleep(1)
