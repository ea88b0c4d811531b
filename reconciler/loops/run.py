"""The loop: whatever changes in the source or in the rows, the rows become what the source says.

A pass that fails changes nothing, is logged once, and shows in `status`. What may pass by itself (a
lock that is held, a fetch that failed) is tried again, ever more seldom; a refusal or an invalid
manifest waits for the next change, or for a person. Where another apply came first, the source is
read again at once. Holds win over git, and so does a pause.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from reconciler.core.model.backoff import Backoff
from reconciler.core.plan.guard import GuardOptions
from reconciler.core.telemetry import SILENT, PassResult, Telemetry
from reconciler.errors import Defect, InvalidManifests, MosaicError, Retry
from reconciler.files import file_unusable
from reconciler.loops.jobs import EXPIRE_EVERY, Job, jitter
from reconciler.process import end_running
from reconciler.reconcile import ApplyOptions, Reading, apply, expire, read
from reconciler.store.apply.provenance import last_applied
from reconciler.store.loop_status import (
    Pass,
    Waiting,
    begin_commit,
    record_pass,
    record_stop,
)
from reconciler.store.rollback_journal import recover_source

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model.commits import Commit
    from reconciler.core.setting_values import SignatureSetting
    from reconciler.loops.triggers import Triggers
    from reconciler.reconcile import PlanResult
    from reconciler.store.db import Database

_log = logging.getLogger(__name__)

GIT_BACKOFF: Final = Backoff(timedelta(seconds=5), timedelta(minutes=5))
FOLDER_BACKOFF: Final = Backoff(timedelta(seconds=5), timedelta(seconds=30))  # costs no fetch
RECENT_PASSES: Final = 3  # intervals without the end of a pass, until the loop is not ready
MOST_LOGGED: Final = 5  # problems of a source
LOCK_WAIT: Final = timedelta(seconds=5)  # then it is tried again: `up` ends within 10 s


class After(Enum):
    """What follows a pass."""

    WAIT = "wait"  # for what starts the next one
    RETRY = "retry"  # soon, and ever more seldom
    AGAIN = "again"  # at once, and if that does not help as for RETRY


@dataclass(slots=True)
class Loop:
    """The loop over one source.

    `trouble` is the last error, logged once as long as it stays. The next pass is `due` so long
    after the last, unless something starts it sooner; it has come after so many `failures`.
    """

    database: Database
    triggers: Triggers
    actor: str
    limits: GuardOptions = field(default_factory=GuardOptions)
    signatures: SignatureSetting | None = None
    telemetry: Telemetry = SILENT
    trouble: str = ""
    due: timedelta = timedelta()
    failures: int = 0
    passed: asyncio.Event = field(default_factory=asyncio.Event)  # once the first pass has ended
    _unrecorded: str = ""
    _began_s: float = 0.0
    _ended_s: float | None = None  # when the last pass ended, by the monotonic clock
    _commit: Commit | None = None  # that the pass under way has read
    _commit_read_at: datetime | None = None  # by the database's clock

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile until `stop`; a transaction has a few seconds to end, a fetch has none."""
        ending = asyncio.create_task(_end_fetches(stop))
        try:
            await self.triggers.begin()  # before the first read, so that no change falls between
            _log.info("source %s: %s", self.triggers.source.shown, self.triggers)
            while not stop.is_set():
                await asyncio.to_thread(self.one_pass)
                self._ended_s = time.monotonic()
                self.passed.set()
                await self.triggers.next(stop, self.due)
            await asyncio.to_thread(self._record_stop)
        finally:
            self.triggers.end()
            ending.cancel()

    async def require_recent_pass(self) -> None:
        """Raise `Retry` unless a pass ended, applied or not, less than three intervals ago."""
        longest_s = RECENT_PASSES * self.triggers.every.total_seconds()
        if self._ended_s is None or time.monotonic() - self._ended_s >= longest_s:
            raise Retry("unavailable", f"no pass has ended within {longest_s:g} s")

    def expiry(self) -> Job:
        """Return the timer that ends grants, whatever keeps the passes from coming."""
        return Job("expiry", EXPIRE_EVERY, self._expire)

    async def _expire(self) -> None:
        await asyncio.to_thread(expire, self.database, self.actor)

    def one_pass(self) -> After:
        """Read, plan and apply once; return what follows. Errors are logged."""
        reading: Reading | None = None
        self._began_s = time.monotonic()
        self._commit, self._commit_read_at = None, None
        try:
            expire(self.database, self.actor)  # true whatever the source says
            recover_source(self.database, self.triggers.source, LOCK_WAIT)
            with self.database.transaction() as tx:
                applied = last_applied(tx)
            reading = read(
                self.triggers.source,
                self.actor,
                applied,
                signatures=self.signatures,
                see=self._see,
            )
            options = ApplyOptions(
                self.limits,
                wait=LOCK_WAIT,
                generation=reading.generation,
                heeds_pause=True,
                trust=reading.trust,
                folders=reading.folders,
            )
            done = apply(self.database, reading.desired, reading.by, options)
        except MosaicError as error:
            after = After.RETRY if isinstance(error, Retry) else After.WAIT
            if error.code == "plan_stale":
                after = After.AGAIN
            self._failed(error, reading, after)
            return after
        except Exception as error:  # noqa: BLE001 - a defect must not end what runs beside
            unusable = file_unusable(error) if isinstance(error, OSError) else None
            if unusable is not None:
                self._failed(unusable, reading, After.RETRY)
                return After.RETRY
            hint = "the log of this reconciler has the traceback; please report it"
            defect = Defect("internal", type(error).__name__, hint=hint)
            _log.exception("the pass failed with an internal error", extra={"code": defect.code})
            self._failed(defect, reading, After.RETRY)
            return After.RETRY
        self._done(reading, done)
        return After.WAIT

    def _see(self, commit: Commit) -> None:
        self._commit = commit
        with self.database.transaction() as tx:
            source = self.triggers.source.shown
            self._commit_read_at = begin_commit(tx, self.actor, source, commit)

    def _done(self, reading: Reading, done: PlanResult) -> None:
        self._tell(PassResult.UNCHANGED if done.plan.empty else PassResult.APPLIED, "")
        if self.trouble:
            _log.info("recovered: %s is applied again", reading.by.source)
        self.trouble = ""
        summary = done.plan.summary
        if not done.plan.empty:
            _log.info(
                "applied %s: %d added, %d changed, %d replaced, %d removed",
                reading.by.source,
                summary.create,
                summary.update,
                summary.replace,
                summary.revoke,
            )
        self._schedule(After.WAIT)
        self._record(reading, None)

    def _failed(self, error: MosaicError, reading: Reading | None, after: After) -> None:
        self._tell(PassResult.FAILED, error.code)
        message = error.message
        if isinstance(error, InvalidManifests):
            named = "; ".join(str(problem) for problem in error.problems[:MOST_LOGGED])
            more = len(error.problems) - MOST_LOGGED
            message += f": {named}{f'; and {more:,} more' if more > 0 else ''}"
        trouble = f"nothing is applied: {message}; {error.hint}"
        if trouble != self.trouble:
            _log.error("%s", trouble, extra={"code": error.code})
        self.trouble = trouble
        self._schedule(after)
        self._record(reading, error)

    def _tell(self, result: PassResult, code: str) -> None:
        self.telemetry.reconcile_pass(result, code, time.monotonic() - self._began_s)

    def _schedule(self, after: After) -> None:
        if after is After.WAIT:
            self.due, self.failures = self.triggers.every, 0
            return
        backoff = GIT_BACKOFF if self.triggers.source.is_git else FOLDER_BACKOFF
        retry = backoff.wait(self.failures, jitter())
        self.due = timedelta() if after is After.AGAIN and not self.failures else retry
        self.failures += 1

    def _record(self, reading: Reading | None, failure: MosaicError | None) -> None:
        source = reading.by.source if reading is not None else self.triggers.source.shown
        revision = reading.by.revision if reading is not None else None
        ended = Pass(
            actor=self.actor,
            source=source,
            revision=revision,
            every=self.triggers.every,
            failure=failure,
            waiting=_waiting(failure),
            due=self.due,
            watch=str(self.triggers),
            commit=self._commit,
            commit_read_at=self._commit_read_at,
        )
        unrecorded = ""
        try:
            with self.database.transaction() as tx:
                record_pass(tx, ended)
        except MosaicError as error:  # the log has the pass already
            unrecorded = error.message
        if unrecorded not in ("", self._unrecorded, failure.message if failure else ""):
            _log.warning("the pass cannot be recorded: %s", unrecorded)
        self._unrecorded = unrecorded

    def _record_stop(self) -> None:
        if self._unrecorded:  # the database was away, and it must not delay the end
            return
        with suppress(MosaicError), self.database.transaction() as tx:
            record_stop(tx, self.actor)


def _waiting(failure: MosaicError | None) -> Waiting:
    """Return what the loop waits for after a pass that ended so."""
    if failure is None or isinstance(failure, InvalidManifests):
        return Waiting.CHANGE
    match failure.code:
        case "reconciler_paused":
            return Waiting.RESUME
        case "source_unreadable":
            return Waiting.CHANGE
        case "plan_stale" | "internal" | "file_unusable":
            return Waiting.RETRY
        case _:
            return Waiting.RETRY if isinstance(failure, Retry) else Waiting.PERSON


async def _end_fetches(stop: asyncio.Event) -> None:
    await stop.wait()
    end_running()
