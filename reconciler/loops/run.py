"""The loop: whatever changes in the source or in the rows, the rows become what the source says.

A change of a file starts a pass, and so does a timer, for drift and expiry. A refusal by the guard
waits for the next change or a person; a lock that is held is tried again. Holds win over git.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from watchfiles import awatch

from reconciler.errors import InvalidManifests, MosaicError, Retry
from reconciler.loops.periodic import sleep_unless
from reconciler.reconcile import Options, apply, read
from reconciler.source.read import folder_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reconciler.core.values import SourceSetting
    from reconciler.store.tx import Database

_log = logging.getLogger(__name__)

SETTLE_MS: Final = 1000  # a folder settles before it is read
PASS_EVERY: Final = timedelta(seconds=60)
RETRY_EVERY: Final = timedelta(seconds=5)
LOCK_WAIT: Final = timedelta(seconds=5)  # then it is tried again: `up` ends within 10 s


@dataclass(slots=True)
class Loop:
    """The loop over one source. `trouble` is the last error, told once as long as it stays."""

    database: Database
    source: SourceSetting
    actor: str
    trouble: str = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile until `stop`; a transaction under way is finished first."""
        async for _ in self._triggers(stop):
            again = await asyncio.to_thread(self.one_pass)
            while again and not stop.is_set():
                await sleep_unless(stop, RETRY_EVERY)
                again = await asyncio.to_thread(self.one_pass)

    def one_pass(self) -> bool:
        """Read, plan and apply once; return whether to try again soon. Errors are logged."""
        try:
            reading = read(self.database, self.source, self.actor)
            options = Options(wait=LOCK_WAIT, generation=reading.generation)
            judged = apply(self.database, reading.desired, reading.by, options)
        except InvalidManifests as error:
            listed = "; ".join(str(problem) for problem in error.problems[:5])
            self._tell(f"nothing is applied: {error.message}: {listed}")
            return False
        except MosaicError as error:
            self._tell(f"nothing is applied: {error.message}; {error.hint}")
            return isinstance(error, Retry) or error.code == "plan_stale"
        self.trouble = ""
        summary = judged.plan.summary
        if not judged.plan.empty:
            _log.info(
                "applied %s: %d added, %d changed, %d replaced, %d removed",
                reading.by.source,
                summary.create,
                summary.update,
                summary.replace,
                summary.revoke,
            )
        return False

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            _log.error("%s", trouble)
        self.trouble = trouble

    async def _triggers(self, stop: asyncio.Event) -> AsyncIterator[None]:
        folder = folder_of(self.source)
        yield None
        while not stop.is_set():
            if not folder.is_dir():
                await sleep_unless(stop, RETRY_EVERY)
                yield None
                continue
            timeout_ms = int(PASS_EVERY.total_seconds() * 1000)
            watching = awatch(
                folder,
                debounce=SETTLE_MS,
                step=SETTLE_MS,
                stop_event=stop,
                rust_timeout=timeout_ms,
                yield_on_timeout=True,
            )
            try:
                async for _ in watching:
                    yield None
                    if not folder.is_dir():
                        break
            except FileNotFoundError:
                continue
            except (OSError, RuntimeError) as error:  # the kernel gives no more watches
                _log.warning("%s is not watched, but read by the timer: %s", folder, error)
                await sleep_unless(stop, PASS_EVERY)
                yield None
