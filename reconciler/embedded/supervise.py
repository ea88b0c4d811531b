"""What `up` and `serve` keep running: the home's PostgreSQL and step-ca, started again if they die.

One gateway a home: a second one is told who is first. The children are stopped when the block ends;
after a `kill -9` the next gateway finds what was left behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from reconciler.embedded import cluster as clusters
from reconciler.embedded.files import locked
from reconciler.embedded.install import require_step_ca
from reconciler.embedded.postgres import cluster_of, postgres, starting
from reconciler.embedded.stepca import StepCa
from reconciler.errors import MosaicError, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from reconciler.embedded.home import Home

LOOK_EVERY_S: Final = 0.5
MAX_BACKOFF_S: Final = 30.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def supervised(home: Home) -> AsyncIterator[str]:
    """Run the home's PostgreSQL and step-ca; yields the owner's database URL.

    Raises:
        Refused: `state_conflict`: another gateway runs this home.
        MosaicError: `child_failed`, `config_invalid`: a child cannot be started.
    """
    step_ca = StepCa(home, require_step_ca())
    try:
        with locked(home.run / "gateway.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as lock:
            os.truncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
            with postgres(home) as url:
                await asyncio.to_thread(step_ca.start)
                watching = asyncio.create_task(_watch(home, step_ca))
                try:
                    yield url
                finally:
                    watching.cancel()
                    with suppress(asyncio.CancelledError):
                        await watching
                    step_ca.stop()
    except BlockingIOError:
        raise Refused(
            "state_conflict",
            f"a gateway runs in {home.path} already (pid {_holder(home)})",
            hint="use that one, or end it first",
        ) from None


async def _watch(home: Home, step_ca: StepCa) -> None:
    cluster = cluster_of(home)

    def start_postgres() -> None:
        with starting(home):
            clusters.ensure_running(cluster)

    children = (
        ("PostgreSQL", lambda: clusters.running(cluster) is not None, start_postgres),
        ("step-ca", step_ca.alive, step_ca.start),
    )
    await asyncio.gather(*(_keep(*child) for child in children))


async def _keep(name: str, alive: Callable[[], bool], start: Callable[[], None]) -> None:
    backoff_s = LOOK_EVERY_S
    while True:
        await asyncio.sleep(backoff_s)
        if alive():
            backoff_s = LOOK_EVERY_S
            continue
        _log.warning("%s has ended: it is started again", name)
        try:
            await asyncio.to_thread(start)
        except MosaicError as error:
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
            _log.error("%s: %s; again in %.0f s", name, error.message, backoff_s)


def _holder(home: Home) -> str:
    return (home.run / "gateway.lock").read_text().strip() or "unknown"
