"""What the service manager is told: READY, WATCHDOG while the work is alive, STOPPING.

WATCHDOG=1 comes from the event loop, and only after a query that took the way of the process's own
work. If that query fails, one on a connection of its own decides: a database that answers nobody is
an outage, which a restart does not mend; one that answers it shows that our own work hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import MosaicError, Retry
from reconciler.service_manager import ServiceManager
from reconciler.store.connection.reader import Reader
from reconciler.store.locks import application_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from reconciler.store.connection.conninfo import Source
    from reconciler.store.db import Tx

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a process: a query by its own way, and the checks that must hold besides.

    Each raises `Retry` if it fails. `database` is what `query` asks.
    """

    database: Source
    query: Callable[[], Awaitable[object]]
    checks: tuple[Callable[[], Awaitable[None]], ...] = ()

    async def require_alive(self, reader: Reader) -> str:
        """Return the state in a sentence.

        Raises:
            Retry: the work hangs: the database answers `reader`, and not the work.
        """
        for check in self.checks:
            await check()
        try:
            await self.query()
        except MosaicError as failure:
            try:
                await reader.row("SELECT 1")
            except MosaicError as outage:
                return f"the database is unavailable: {outage.message}"
            raise Retry("unavailable", f"the work hangs: {failure.message}") from failure
        return "ready"


def ping(tx: Tx) -> None:
    """Ask the database for nothing."""
    tx.run("SELECT 1")


async def report_service(stop: asyncio.Event, ready: asyncio.Event, work: Work) -> None:
    """Tell the service manager, if there is one, about this process until `stop` is set."""
    manager = ServiceManager.of(os.environ, os.getpid())
    if manager.socket_path is None:
        return
    watching = None
    if await _first(ready, stop):
        manager.notify("READY=1", "STATUS=ready")
        if manager.watchdog is not None:
            watching = asyncio.create_task(_watch(manager, manager.watchdog, work))
        await stop.wait()
    manager.notify("STOPPING=1", "STATUS=stopping")
    if watching is not None:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(manager: ServiceManager, limit: timedelta, work: Work) -> None:
    """Send WATCHDOG=1 in time: a check has half of the limit, and a quarter lies between two."""
    limit_s = limit.total_seconds()
    reader, before = Reader(work.database, application_name("watchdog")), "ready"
    try:
        while True:
            try:
                async with asyncio.timeout(limit_s / 2):
                    state = await work.require_alive(reader)
                manager.notify("WATCHDOG=1")
            except TimeoutError:
                state = f"the work hangs: no answer within {limit_s / 2:g} s"
            except MosaicError as error:
                state = error.message
            if state != before:
                _log.warning("watchdog: %s", state)
                manager.notify(f"STATUS={state}")
            before = state
            await asyncio.sleep(limit_s / 4)
    finally:
        await reader.close()


async def _first(ready: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait for either; return whether it is ready and not stopped."""
    waiting = {asyncio.create_task(each.wait()) for each in (ready, stop)}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return not stop.is_set()
