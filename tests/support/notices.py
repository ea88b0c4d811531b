"""Notices in tests: targets of real servers, and a sender in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from reconciler.clients.notices import NoticeSender
from reconciler.core.notices.target import Target, TargetKind
from reconciler.core.setting_values import LOOPBACK
from reconciler.loops.notices import Notices
from reconciler.store.async_database import AsyncDatabase
from tests.support.beside import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.services.receiver import Receiver

Stop: TypeAlias = tuple[asyncio.AbstractEventLoop, asyncio.Event]

KEY: Final = b"k" * 32
SECRET: Final = f"whsec_{base64.b64encode(KEY).decode()}"


def json_target(folder: Path, name: str, receiver: Receiver, *events: str) -> Target:
    """Return a signed target at a receiver."""
    secret = folder / f"{name}.secret"
    secret.write_text(SECRET)
    return Target(
        name,
        TargetKind.JSON,
        f"{receiver.url}/hooks/{name}?key=1",
        secret_file=str(secret),
        ca_file=str(receiver.roots),
        filter=events,
    )


@contextmanager
def sending(url: str, *targets: Target) -> Iterator[None]:
    """Send to targets, as one process of a gateway does, until the block ends."""

    async def run(hand_over: Callable[[Stop], None]) -> None:
        stop = asyncio.Event()
        database = AsyncDatabase(url, "test notices", pool_size=4)
        notices = Notices(database, NoticeSender(LOOPBACK), targets)
        try:
            await notices.begin()
            hand_over((asyncio.get_running_loop(), stop))
            await notices.run(stop)
        finally:
            await database.close()

    with beside(run, lambda running: running[0].call_soon_threadsafe(running[1].set)):
        yield
