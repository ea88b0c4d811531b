"""What starts a pass: a change of a file, a poll of a repository, a push, a timer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from watchfiles import awatch

from reconciler.loops.periodic import sleep_unless
from reconciler.source.read import folder_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from reconciler.core.values import SourceSetting

_log = logging.getLogger(__name__)

SETTLE_MS: Final = 1000  # a folder settles before it is read
PASS_EVERY: Final = timedelta(seconds=60)  # for drift and expiry, and a poll unless told
LOOK_EVERY: Final = timedelta(seconds=5)  # for a folder that is not there


@dataclass(frozen=True, slots=True)
class Triggers:
    """When to look at a source again. Setting `pushed` starts a pass at once."""

    source: SourceSetting
    every: timedelta = PASS_EVERY
    pushed: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Yield now, and then each time that a pass is due, until `stop`."""
        yield None
        changes = self._polls(stop) if self.source.is_git else self._changes(stop)
        async for _ in changes:
            yield None

    async def wait(self, stop: asyncio.Event, longest: timedelta) -> None:
        """Wait for a push, but not longer than that, nor beyond `stop`."""
        waiting = [asyncio.create_task(each.wait()) for each in (stop, self.pushed)]
        try:
            await asyncio.wait(
                waiting, timeout=longest.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in waiting:
                each.cancel()
        self.pushed.clear()

    async def _polls(self, stop: asyncio.Event) -> AsyncIterator[None]:
        while not stop.is_set():
            await self.wait(stop, self.every)
            if not stop.is_set():
                yield None

    async def _changes(self, stop: asyncio.Event) -> AsyncIterator[None]:
        folder = folder_of(self.source)
        while not stop.is_set():
            if not _is_folder(folder):
                await sleep_unless(stop, LOOK_EVERY)
                yield None
                continue
            watching = awatch(
                folder,
                debounce=SETTLE_MS,
                step=SETTLE_MS,
                stop_event=stop,
                rust_timeout=int(self.every.total_seconds() * 1000),
                yield_on_timeout=True,
            )
            try:
                async for _ in watching:
                    yield None
                    if not _is_folder(folder):
                        break
            except FileNotFoundError:
                continue
            except (OSError, RuntimeError) as error:  # the kernel gives no more watches
                _log.warning("%s is not watched, but read by the timer: %s", folder, error)
                await self.wait(stop, self.every)
                yield None


def _is_folder(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir()
    return False
