"""What `up` and `serve` keep running: the home's PostgreSQL and step-ca, started again if they die.

A home has one gateway: a second one is refused, and its error names the first. The children are
stopped when the block ends; after a `kill -9` the next gateway finds what was left behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from reconciler.core.model.backoff import Backoff
from reconciler.core.privileges import Role
from reconciler.embedded.folders import locked
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.home_server import cluster_of, postgres, starting
from reconciler.embedded.postgres.logins import login_url
from reconciler.embedded.processes import Identity, alive, identify, rotate_log
from reconciler.embedded.stepca.install import require_step_ca
from reconciler.embedded.stepca.move import continue_move
from reconciler.embedded.stepca.process import StepCa
from reconciler.errors import MosaicError, Refused
from reconciler.store.db import Database
from reconciler.store.locks import application_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from reconciler.config.home import Home

LOOK_EVERY_S: Final = 0.5
ROTATE_EVERY_S: Final = 5.0
CHILDREN: Final = ("postgres", "step-ca")
STEADY_S: Final = 30.0  # who has run for so long has started well
BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(seconds=30))

_log = logging.getLogger(__name__)


@contextmanager
def sole_gateway(home: Home) -> Iterator[None]:
    """Be the one that runs the home's gateway, or changes what it runs on.

    Raises:
        Refused: `state_conflict`: another gateway runs this home.
    """
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(
                locked(home.run / "gateway.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            )
        except BlockingIOError:
            identity, _ = _holder(home)
            pid = identity.pid if identity is not None else "unknown"
            stop = f", or `kill {pid}`" if identity is not None else ""
            raise Refused(
                "state_conflict",
                f"a gateway runs in {home.path} already (pid {pid})",
                hint=f"use it, or stop it first: Ctrl-C in its terminal{stop}",
            ) from None
        try:
            os.truncate(lock, 0)
            os.write(lock, f"{identify(os.getpid())}\n{_folder_id(home)}\n".encode())
        except OSError as error:
            error.filename = str(home.run)  # a descriptor has no name
            raise
        yield


def require_stopped(home: Home) -> None:
    """Raise where another gateway runs the home.

    Raises:
        Refused: `state_conflict`.
    """
    with sole_gateway(home):
        pass


@asynccontextmanager
async def supervised(
    home: Home,
    ending: Callable[[], bool],
    prepare: Callable[[str], None] = lambda _: None,
    *,
    require_ports: Callable[[], None] = lambda: None,
) -> AsyncIterator[Callable[[str], str]]:
    """Run the home's PostgreSQL and step-ca; yields what returns the database URL of a login.

    `ending` tells, from any thread, that a signal has come: nothing is waited for any longer.
    `prepare` is given the superuser's URL before step-ca starts; `require_ports` is called before
    anything does, and refuses what cannot be listened on.

    Raises:
        Refused: `state_conflict`: another gateway runs this home.
        MosaicError: `child_failed`, `program_unusable`, `config_invalid`: a child cannot start.
    """
    step_ca, leaving = StepCa(home, require_step_ca()), threading.Event()

    def give_up() -> bool:
        return leaving.is_set() or ending()

    async with AsyncExitStack() as stack:
        stack.enter_context(sole_gateway(home))
        require_ports()
        step_ca.require_port()  # before PostgreSQL starts: it takes a second, and may recover
        # In a thread, so that signals are heard while it starts. The exit is registered after that:
        # a context manager whose entry fails has released what it took.
        server = postgres(home, give_up)
        url = await asyncio.to_thread(server.__enter__)
        stack.push(server.__exit__)
        await asyncio.to_thread(prepare, url)
        url_of = partial(login_url, home, cluster_of(home))
        moving = Database(url_of(Role.READER), application_name("move"))
        await asyncio.to_thread(continue_move, home.ca, moving)
        # The move may write the configuration of step-ca, which reads it only when it starts. The
        # stop is registered before the start: a start that is cut off may leave a child.
        stack.callback(step_ca.stop)
        await asyncio.to_thread(step_ca.start, give_up)
        watching = asyncio.create_task(_watch(home, step_ca, give_up))
        try:
            yield url_of
        finally:
            # First: a start that the watch waits for ends by it, and cannot be cancelled otherwise.
            leaving.set()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


def gateway_process(home: Home) -> Identity | None:
    """Return the `up` or `serve` that runs in the home, by what it wrote into its lock.

    Its memory is protected, so only root can see which files it has open. The lock of a copy may be
    a hard link to that of the home it was made from: what runs there is not this home's.
    """
    if not gateway_runs(home):
        return None
    identity, folder = _holder(home)
    return identity if identity and folder == _folder_id(home) and alive(identity) else None


def gateway_runs(home: Home) -> bool:
    """Tell whether an `up` or a `serve` runs in the home; it may, where this account cannot ask."""
    try:
        with locked(home.run / "gateway.lock", fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except OSError:
        return True


async def _watch(home: Home, step_ca: StepCa, give_up: Callable[[], bool]) -> None:
    cluster = cluster_of(home)

    def start_postgres() -> None:
        with starting(home):
            clusters.ensure_running(cluster, give_up)

    async with asyncio.TaskGroup() as group:
        group.create_task(
            _keep("PostgreSQL", lambda: clusters.running(cluster) is not None, start_postgres)
        )
        group.create_task(_keep("step-ca", step_ca.alive, lambda: step_ca.start(give_up)))
        group.create_task(_rotate_logs(home))


async def _rotate_logs(home: Home) -> None:
    """Keep the logs of the children below their limit, and one older part of each."""
    while True:
        await asyncio.sleep(ROTATE_EVERY_S)
        for name in CHILDREN:
            try:
                await asyncio.to_thread(rotate_log, home.log_of(name))
            except OSError as error:
                _log.error("the log of %s cannot be rotated: %s", name, error)


async def _keep(name: str, alive: Callable[[], bool], start: Callable[[], None]) -> None:
    starts, started = 0, time.monotonic()  # how often it was started again, and when last
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            if alive():
                continue
        except OSError as error:  # no descriptor is left to look with
            _log.error("%s cannot be checked: %s", name, error)
            continue
        if time.monotonic() - started > STEADY_S:
            starts = 0
        wait_s = BACKOFF.wait(starts - 1).total_seconds() if starts else 0.0  # the first: at once
        _log.warning("%s has exited; it is restarted in %.0f s", name, wait_s)
        await asyncio.sleep(wait_s)
        starts += 1
        try:
            await _to_its_end(start)
        except (MosaicError, OSError) as error:
            _log.error("%s: %s", name, error)
        started = time.monotonic()


async def _to_its_end(start: Callable[[], None]) -> None:
    """Run `start` in a thread, which nobody can cancel: what it starts must be there to stop."""
    running = asyncio.create_task(asyncio.to_thread(start))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        running.exception()  # retrieved, so that asyncio does not log it: the gateway is ending
        raise


def _folder_id(home: Home) -> str:
    """Return what the home's folder has wherever it is moved, and no copy of it."""
    status = home.path.stat()
    return f"{status.st_dev}:{status.st_ino}"


def _holder(home: Home) -> tuple[Identity | None, str]:
    """Return who wrote the lock, and of which folder."""
    try:
        text = (home.run / "gateway.lock").read_text()
    except OSError:
        return None, ""
    process, _, folder = text.partition("\n")
    return Identity.parse(process), folder.strip()
