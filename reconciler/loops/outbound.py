"""What jobs ask other gateways: several at once, and each within a time.

So that one which lies or does not answer keeps nothing from the others.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.errors import Defect, MosaicError, Retry
from reconciler.log import about

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from reconciler.store.outbound.peers import Outbound

AT_ONCE: Final = 16
ANSWER_S: Final = 40.0  # for the roots and an answer that waits for a CA

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def each_peer(peers: Iterable[Outbound], work: Callable[[Outbound], Awaitable[None]]) -> None:
    """Do some work for each peer, `AT_ONCE` at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(peer: Outbound) -> None:
        async with slots:
            with about(peer=peer.name):
                await work(peer)

    async with asyncio.TaskGroup() as group:
        for each in peers:
            group.create_task(one(each))


async def answer_of(question: Awaitable[T]) -> T:
    """Return what another gateway answers.

    Raises:
        MosaicError: also `peer_unreachable` if it takes too long, and `internal` for a defect,
            which has been logged.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            return await question
    except TimeoutError:
        raise Retry("peer_unreachable", f"it took longer than {ANSWER_S:g} s") from None
    except MosaicError:
        raise
    except Exception as error:
        _log.exception("failed with an internal error", extra={"code": "internal"})
        raise Defect("internal", f"{type(error).__name__}, an internal error") from error
