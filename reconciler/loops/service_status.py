"""What the service manager is told: READY, WATCHDOG while the work is alive, STOPPING.

WATCHDOG=1 comes from the event loop, and only after checks of the process's own work. If one fails
or hangs, a query on a connection of its own decides: a database that answers nobody is an outage,
which a restart does not end; one that answers it shows that our own work hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.model.text import printable
from reconciler.errors import MosaicError, Retry
from reconciler.loops.jobs import first_of
from reconciler.service_manager import ServiceManager
from reconciler.store.connection.reader import Reader
from reconciler.store.locks import application_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from reconciler.store.connection.conninfo import ConninfoSource
    from reconciler.store.db import Tx

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a process: its database, and the checks that succeed while it is alive.

    A check raises `Retry` if it fails, and may hang.
    """

    database: ConninfoSource
    checks: tuple[Callable[[], Awaitable[object]], ...]

    async def require_alive(self, reader: Reader, patience: timedelta) -> str:
        """Return the state in a sentence; the checks may take as long as `patience`.

        Raises:
            Retry: the work hangs: the database answers `reader`.
        """
        try:
            async with asyncio.timeout(patience.total_seconds()):
                for check in self.checks:
                    await check()
        except TimeoutError:
            failure = f"no answer within {patience.total_seconds():g} s"
        except MosaicError as error:
            failure = error.message
        else:
            return "ready"
        try:
            await reader.rows("SELECT 1")
        except MosaicError as outage:
            return f"the database is unavailable: {outage.message}"
        raise Retry("unavailable", f"the work hangs: {failure}")


def ping(tx: Tx) -> None:
    """Ask the database for nothing."""
    tx.run("SELECT 1")


async def report_service(stop: asyncio.Event, ready: asyncio.Event, work: Work) -> None:
    """Tell the service manager, if there is one, about this process until `stop` is set."""
    manager = ServiceManager.of(os.environ, os.getpid())
    if manager.socket_path is None:
        return
    watching = None
    await first_of(ready, stop)
    if not stop.is_set():
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
    """Send WATCHDOG=1 in time: the checks have half of the limit, and a quarter lies between."""
    reader, before = Reader(work.database, application_name("watchdog")), "ready"
    try:
        while True:
            try:
                state = await work.require_alive(reader, limit / 2)
                manager.notify("WATCHDOG=1")
            except MosaicError as error:
                state = error.message
            if state != before:
                _log.warning("watchdog: %s", state)
                manager.notify(f"STATUS={printable(state)}")
            before = state
            await asyncio.sleep(limit.total_seconds() / 4)
    finally:
        await reader.close()
