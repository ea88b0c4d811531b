"""Jobs that run at intervals until they are stopped; after a failure they wait longer.

A run that is under way then has a few seconds to finish: others may keep it waiting for longer than
a process may take to stop. Every job is safe to cut off, and to repeat.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from reconciler.core.model.backoff import Backoff
from reconciler.errors import MosaicError
from reconciler.process import end_running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_WAIT: Final = timedelta(seconds=60)
EXPIRE_EVERY: Final = timedelta(seconds=15)  # the clock that ends grants
GRACE_S: Final = 5.0  # requests and the database have less, and end what waits for them


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every so often; `run` raises where it could not.

    It returns true where it is to be run again at once, as there is more to do.
    """

    name: str
    every: timedelta
    run: Callable[[], Awaitable[bool | None]]


async def run_jobs(jobs: Iterable[Job], stop: asyncio.Event) -> None:
    """Run each job on its own until `stop` is set, and at most `GRACE_S` longer."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_repeat(job, stop), name=job.name)


async def _repeat(job: Job, stop: asyncio.Event) -> None:
    backoff = Backoff(job.every, max(MAX_WAIT, job.every))
    failures, trouble = 0, ""
    while not stop.is_set():
        before, again, code = trouble, None, ""
        try:
            again = await _in_time(stop, job)
            failures, trouble = 0, ""
        except Stopped:
            _log.debug("%s: cut off", job.name)
            return
        except MosaicError as error:
            failures, trouble, code = failures + 1, error.message, error.code
        except Exception as error:  # noqa: BLE001 - a defect in one job must not end the others
            failures, code = failures + 1, "internal"
            trouble = f"{type(error).__name__}, an internal error"
            if trouble != before:
                extra = {"code": code}
                _log.exception("%s: failed with an internal error", job.name, extra=extra)
        if stop.is_set():  # which is why it failed, or what nobody waits for
            return
        if trouble and trouble != before:  # once as long as it stays
            _log.warning("%s: %s; trying again", job.name, trouble, extra={"code": code})
        elif before and not trouble:
            _log.info("%s: recovered", job.name)
        await sleep_unless(stop, timedelta() if again else backoff.wait(failures))


async def _in_time(stop: asyncio.Event, job: Job) -> bool | None:
    """Return what a run returns; raise `Stopped`, and cancel it, `GRACE_S` after `stop` is set."""
    late = asyncio.Event()

    async def wait() -> None:
        await stop.wait()
        await asyncio.sleep(GRACE_S)
        late.set()

    waiting = asyncio.create_task(wait())
    try:
        return await run_unless(late, _run(job))
    finally:
        waiting.cancel()


async def _run(job: Job) -> bool | None:
    return await job.run()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `work` returns in a thread; what is cut off ends first, without its programs.

    A process waits for its threads, and the last work of a job must not run beside the one before.
    """
    running = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        end_running()
        await asyncio.wait({running})
        raise


async def sleep_unless(stop: asyncio.Event, wait: timedelta) -> None:
    """Sleep, but not longer than until `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), wait.total_seconds())


async def first_of(*events: asyncio.Event, timeout_s: float | None = None) -> bool:
    """Wait until one of the events is set, or for so long; return whether one is."""
    waiting = [asyncio.create_task(each.wait()) for each in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return any(each.is_set() for each in events)


def jitter() -> float:
    """Return a number from 0 to 1, by which processes that wait do not act in step."""
    return random.random()  # noqa: S311 - no secret


class Stopped(Exception):
    """The process is to end before a piece of work has."""


async def run_unless(stop: asyncio.Event, work: Coroutine[None, None, T]) -> T:
    """Return what `work` does; raise `Stopped` once `stop` is set, and cancel it."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Stopped
        return task.result()
    finally:
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
