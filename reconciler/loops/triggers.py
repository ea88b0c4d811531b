"""What starts a pass: a change of a file, a poll of a repository, a push, a timer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.model.times import format_duration
from reconciler.loops.folder_watch import FolderWatch
from reconciler.source.read import folder_of

if TYPE_CHECKING:
    from reconciler.core.setting_values import SourceSetting

PASS_EVERY: Final = timedelta(seconds=60)  # for drift and expiry, and by default for polls


@dataclass(slots=True)
class Triggers:
    """When to look at a source again, `every` so often at least; of a folder, when it changes.

    Setting `pushed` starts a pass at once; `webhook` is where pushes are listened for.
    """

    source: SourceSetting
    every: timedelta = PASS_EVERY
    webhook: str = ""
    pushed: asyncio.Event = field(default_factory=asyncio.Event)
    _watch: FolderWatch | None = None

    def __post_init__(self) -> None:
        """Make the watch of a folder; it has not begun yet."""
        if not self.source.is_git:
            self._watch = FolderWatch(folder_of(self.source))

    async def begin(self) -> None:
        """Begin to watch a folder, before it is read for the first time."""
        if self._watch is not None:
            await self._watch.begin()

    def end(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.end()

    def __str__(self) -> str:
        """Tell people how the source is watched, and how often it is looked at."""
        every = format_duration(self.every)
        if self._watch is None:
            push = f", and when a push is reported to {self.webhook}" if self.webhook else ""
            return f"polled every {every}{push}"
        look = f"compared every {format_duration(self._watch.interval)}"
        if self._watch.polled:
            how = f"{look}, without events: {self._watch.polled}"
        else:
            how = f"watched by file system events, {look}"
        return f"{how}; a pass every {every} at least"

    async def next(self, stop: asyncio.Event, longest: timedelta) -> None:
        """Wait until a pass is due, but not longer than that, nor beyond `stop`."""
        if self._watch is not None:
            await self._watch.changed(stop, longest)
            return
        waiting = [asyncio.create_task(each.wait()) for each in (stop, self.pushed)]
        try:
            await asyncio.wait(
                waiting, timeout=longest.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in waiting:
                each.cancel()
        self.pushed.clear()
