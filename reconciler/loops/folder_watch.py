"""The watch of a folder: what changes there is seen by events where they come, and by looking.

Events make it quick. Certain it is because the folder is compared every few seconds with how it
was before the last pass read it: a change is seen whatever happened to the events, and to the
folder itself (replaced, mounted over, reached by a link that was repointed, made again).
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from watchfiles._rust_notify import RustNotify

from reconciler.core.model.times import format_duration
from reconciler.loops.jobs import sleep_unless
from reconciler.source.folder_state import Snapshot, shared_file_system, take_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.source.folder_state import FolderIdentity

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = timedelta(seconds=2)
LONGEST_LOOK_EVERY: Final = timedelta(seconds=60)  # of a folder that takes long to look at
EVENT_SHARE: Final = 1 / 200  # of a core that looks may take where events come
POLL_SHARE: Final = 1 / 50  # and where they do not
SETTLE: Final = timedelta(seconds=1)  # without a change, before a folder is read
LONGEST_SETTLE: Final = timedelta(seconds=5)  # a folder that never rests is read all the same


class FolderWatch:
    """The watch of one folder. `begin` it, read the folder, wait for `changed`, read, and so on.

    `polled` is why no events come, empty where they do.
    """

    def __init__(self, folder: Path) -> None:
        self.polled = ""
        self._begun = False
        self._folder = folder
        self._events: RustNotify | None = None
        self._seen = self._watched = Snapshot((), b"")
        self._silent: FolderIdentity | None = None  # it changed once without an event
        self._look_s = 0.0  # of one core, for one look

    async def begin(self) -> None:
        """Begin to watch: `changed` returns what changes from now on."""
        self._seen = await self._watch(await self._look())
        self._begun = True

    def end(self) -> None:
        """End the watch."""
        if self._events is not None:
            self._events.close()
        self._events = None

    @property
    def interval(self) -> timedelta:
        """How often the folder is looked at."""
        share = EVENT_SHARE if self._events is not None else POLL_SHARE
        fitting = timedelta(seconds=round(self._look_s / share))
        return min(max(LOOK_EVERY, fitting), LONGEST_LOOK_EVERY)

    async def changed(self, stop: asyncio.Event, longest: timedelta) -> None:
        """Wait until the folder has changed and rests again; not beyond `longest`, nor `stop`."""
        until = time.monotonic() + longest.total_seconds()
        while not stop.is_set():
            left = timedelta(seconds=max(until - time.monotonic(), 0))
            evented = await self._wait(stop, min(self.interval, left))
            now = await self._look()
            over = time.monotonic() >= until
            same = now.folders == self._watched.folders
            if not same or (over and self.polled):  # perhaps events can be had by now
                now = await self._watch(now)
            if now.digest != self._seen.digest:
                if not evented:
                    now, evented = await self._settle(stop, now)
                if same and not evented and self._events is not None:
                    self._silent = now.source
                    now = await self._watch(now)
                self._seen = now
                return
            if over:
                return

    async def _settle(self, stop: asyncio.Event, now: Snapshot) -> tuple[Snapshot, bool]:
        """Return how the folder looks once it rests, and whether an event came meanwhile."""
        until, evented = time.monotonic() + LONGEST_SETTLE.total_seconds(), False
        while not stop.is_set() and time.monotonic() < until:
            evented |= await self._wait(stop, SETTLE)
            before, now = now, await self._look()
            if now.digest == before.digest:
                break
        return now, evented

    async def _wait(self, stop: asyncio.Event, longest: timedelta) -> bool:
        """Wait for events, and until none has come for a second; tell whether any came."""
        if self._events is None:
            await sleep_unless(stop, longest)
            return False
        longest_ms = max(int(longest.total_seconds() * 1000), 1)  # 0 would be for ever
        try:
            events = await asyncio.to_thread(
                self._events.watch,
                int(LONGEST_SETTLE.total_seconds() * 1000),
                int(SETTLE.total_seconds() * 1000),
                longest_ms,
                stop,
            )
        except RuntimeError as error:  # WatchfilesRustInternalError
            self._poll(str(error))
            return False
        return isinstance(events, set)

    async def _look(self) -> Snapshot:
        def look() -> tuple[Snapshot, float]:
            began = time.thread_time()
            return take_snapshot(self._folder), time.thread_time() - began

        snapshot, self._look_s = await asyncio.to_thread(look)
        return snapshot

    async def _watch(self, now: Snapshot) -> Snapshot:
        """Watch the folders as they are; return how they look once they are watched."""
        before, self._watched = self._watched, now
        if before.source is not None and now.source not in (None, before.source):
            _log.info("%s: the folder was replaced; the new one is watched", self._folder)
        elif self._begun and now.folders not in ((), before.folders):
            _log.info("%s: folders were added; they are watched too", self._folder)
        shared = shared_file_system(now)
        if shared is not None:
            self._poll(f"its file system ({shared}) does not report what other machines change")
        elif self._silent is not None and self._silent == now.source:
            self._poll("it has changed without an event")
        else:
            await asyncio.to_thread(self._open_events, [each.path for each in now.folders])
        return await self._look()

    def _open_events(self, folders: list[str]) -> None:
        self.end()
        if not folders:
            return
        try:
            # not recursive: that would follow links to anywhere. The last False: with True no
            # error at all would be told (watchfiles 1.3)
            self._events = RustNotify(folders, False, False, 0, False, False)
        except FileNotFoundError:
            return  # it has just been removed: the next comparison notices it
        except UnicodeEncodeError:  # watchfiles takes paths as UTF-8
            self._poll("a folder in it has a name that is not UTF-8")
            return
        except (OSError, RuntimeError) as error:  # the kernel gives no more of them
            reason = str(error).partition(" about [")[0].rstrip(".")
            self._poll(f"{reason}; see fs.inotify.max_user_watches and max_user_instances")
            return
        if self.polled:
            _log.info("%s: events are received again", self._folder)
        self.polled = ""

    def _poll(self, reason: str) -> None:
        self.end()
        if self._begun and reason != self.polled:
            every = format_duration(self.interval)
            _log.warning("%s: compared every %s, without events: %s", self._folder, every, reason)
        self.polled = reason
