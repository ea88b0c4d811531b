"""Checkpoints of the audit log by themselves: one a day, and one at the end of the process.

Each is a new file, or the standard input of a command: both lead out of the database, whose owner
could write another log. Nothing is written of a log that does not verify.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.chain import broken
from reconciler.core.audit.checkpoint import FILE_NAME, Checkpoint
from reconciler.core.model.times import rfc3339
from reconciler.errors import MosaicError, Refused
from reconciler.files import unusable, write_new
from reconciler.hook import BOUNDS, run_hook
from reconciler.loops.jobs import Job, in_thread, run_jobs
from reconciler.store.audit.cursor import beginning
from reconciler.store.audit.position import first_hash
from reconciler.store.db import Database
from reconciler.store.locks import application_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.process import Bounds
    from reconciler.store.audit.cursor import Cursor
    from reconciler.store.connection.conninfo import ConninfoSource

    Task = Callable[[asyncio.Event], Coroutine[None, None, None]]

EVERY: Final = timedelta(days=1)
LOOK_EVERY: Final = timedelta(minutes=1)
LAST_S: Final = 3.0  # to read what was appended since the last one, at the end of the process
LAST_BOUNDS: Final = replace(BOUNDS, seconds=LAST_S)  # of the command: `up` ends within 10 s

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A checkpoint in a folder, as its name says it."""

    path: Path
    seq: int
    at: datetime

    def as_json(self) -> dict[str, str | int]:
        """Return its document in `status`."""
        return {"file": str(self.path), "seq": self.seq, "at": rfc3339(self.at)}


def newest_file(folder: Path) -> CheckpointFile | None:
    """Return the newest checkpoint of a folder; None if there is none, or nobody may look."""
    files: list[tuple[str, int, Path]] = []
    with suppress(OSError):
        files = [
            (match[1], int(match[2]), path)
            for path in folder.iterdir()
            if (match := FILE_NAME.fullmatch(path.name)) is not None
        ]
    if not files:
        return None
    at, seq, path = max(files)
    return CheckpointFile(path, seq, datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))


@dataclass(slots=True)
class Checkpoints:
    """Checkpoints of one database, into `folder`, to `command`, or both.

    `cursor` is how far the log has been verified, None before its first record; `pending` is a
    checkpoint that has not arrived.
    """

    database: Database
    folder: Path | None
    command: tuple[str, ...] | None
    cursor: Cursor | None = None
    pending: Checkpoint | None = None
    last: Checkpoint | None = None
    bounds: Bounds = BOUNDS
    _first: str | None = None  # the hash of the log's first record

    async def run(self, stop: asyncio.Event) -> None:
        """Take them until `stop`, and a last one then."""

        async def take_due() -> None:
            await in_thread(self.take_due, stop.is_set)

        await run_jobs([Job("checkpoints", LOOK_EVERY, take_due)], stop)
        until_s, self.bounds = time.monotonic() + LAST_S, LAST_BOUNDS
        try:
            await asyncio.to_thread(self._take_last, lambda: time.monotonic() > until_s)
        except MosaicError as error:
            _log.warning("no last checkpoint of the audit log: %s", error)

    def _take_last(self, give_up: Callable[[], bool]) -> None:
        self.take(give_up, self._newest()[0])

    def take_due(self, give_up: Callable[[], bool]) -> None:
        """Take a checkpoint unless the last one is younger than a day."""
        if self.pending is None and not self._is_due():
            return
        if self.pending is None:
            self.cursor = None  # all of the log, once a day
        self.take(give_up)

    def take(self, give_up: Callable[[], bool], known_seq: int = 0) -> None:
        """Verify what is new, and take a checkpoint, if there is more than `known_seq`.

        Raises:
            Refused: `audit_broken`; `file_unusable` or `hook_failed`: it has not arrived.
        """
        if self.pending is None:
            checkpoint = self._verified(give_up)
            if checkpoint is None or checkpoint.seq == known_seq:
                return
            self.pending = checkpoint
        self._deliver(self.pending)
        self.last, self.pending = self.pending, None
        _log.info("checkpoint of the audit log at seq %d", self.last.seq)

    def _is_due(self) -> bool:
        at = self._newest()[1]
        return at is None or datetime.now(UTC) - at >= EVERY

    def _newest(self) -> tuple[int, datetime | None]:
        """Return the record and the time of the last one, of the process before too."""
        if self.last is not None:
            return self.last.seq, self.last.at
        newest = newest_file(self.folder) if self.folder is not None else None
        return (newest.seq, newest.at) if newest is not None else (0, None)

    def _verified(self, give_up: Callable[[], bool]) -> Checkpoint | None:
        while not give_up():
            with self.database.transaction() as tx:
                cursor = beginning(tx, self.cursor)
                page, now = cursor.read(tx), tx.now()
                self._first = self._first or first_hash(tx)
            self.cursor = cursor
            if page.chain_break is not None:
                raise broken(page.chain_break)
            if not page.full:
                last, first = cursor.last, (self._first or "").removeprefix("sha256:")
                log = bytes.fromhex(first)
                return Checkpoint(log, last.seq, last.hash, now) if last.seq else None
        return None

    def _deliver(self, checkpoint: Checkpoint) -> None:
        text, variables = checkpoint.text().encode(), {"MOSAIC_CHECKPOINT_SEQ": str(checkpoint.seq)}
        if self.folder is not None:
            path = self.folder / checkpoint.file_name
            try:
                self.folder.mkdir(exist_ok=True)
                write_new(path, text)  # again changes nothing
            except OSError as error:
                raise unusable(path, error, "written") from None
            variables["MOSAIC_CHECKPOINT"] = str(path)
        if self.command is not None:
            failure = run_hook(self.command, variables, text, self.bounds)
            if failure is not None:
                raise Refused("hook_failed", failure, hint="checkpoint_exec is run again")


def checkpointing(settings: Settings, source: ConninfoSource) -> tuple[Task, ...]:
    """Return what takes the checkpoints that the settings ask for, if they do."""
    if settings.checkpoint_dir is None and settings.checkpoint_exec is None:
        return ()
    database = Database(source, application_name("checkpoints"), lasting=True)
    return (Checkpoints(database, settings.checkpoint_dir, settings.checkpoint_exec).run,)
