"""The notices of a gateway: what it watches, and the targets that it sends to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.clients.notices import NoticeSender, read_files, tls_context
from reconciler.config.notify import read_targets
from reconciler.loops.conditions import Conditions
from reconciler.loops.jobs import run_jobs
from reconciler.loops.notices import Notices
from reconciler.store.locks import actor_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from reconciler.config import Settings
    from reconciler.core.notices.target import Target
    from reconciler.store.async_database import AsyncDatabase


def usable_targets(settings: Settings) -> tuple[Target, ...]:
    """Return the targets that the settings name, whose files have been read once.

    Raises:
        NeedsEdit: `config_invalid`, naming what is wrong.
    """
    targets = read_targets(settings)
    for target in targets:
        read_files(target)
        tls_context(target)
    return targets


def sender_of(settings: Settings) -> NoticeSender:
    """Return how this gateway reaches targets: under the rules by which it reaches peers."""
    return NoticeSender(settings.allow_addresses, settings.peer_proxy)


async def sending_notices(
    targets: tuple[Target, ...], settings: Settings, database: AsyncDatabase
) -> tuple[Callable[[asyncio.Event], Awaitable[None]], ...]:
    """Return what sends notices and what watches, once the targets are known in the database."""
    notices = Notices(database, sender_of(settings), targets)
    await notices.begin()
    watch = Conditions(database, actor_of("worker")).jobs()
    return notices.run, lambda stop: run_jobs(watch, stop)
