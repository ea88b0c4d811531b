"""Credentials as jobs: a folder for each outbound peer, kept as the rows are, and the hooks.

A hook that fails is tried again, ever more seldom. Hooks have a job of their own, so one that is
slow or fails holds up no file. A peer that is revoked, or whose grant has ended over there, has no
folder.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.model.backoff import Backoff
from reconciler.credentials.folder import credential_folders, hook_due, remove_credential
from reconciler.errors import MosaicError
from reconciler.log import about
from reconciler.loops.jobs import Job, in_thread
from reconciler.release import run_due_hook, write_to_folder
from reconciler.store.outbound import release as rows

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.release import Releaser
    from reconciler.store.async_database import AsyncDatabase
    from reconciler.store.outbound.release import UsablePeer

LOOK_EVERY: Final = timedelta(milliseconds=500)  # a change is in its folder within a second
REPAIR_EVERY: Final = timedelta(minutes=1)  # what somebody changed in the folders by hand
BACKOFF: Final = Backoff(timedelta(seconds=5), timedelta(minutes=15))

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Attempts:
    """What was tried last, how often and why it fails, and when it is due again."""

    tried: UsablePeer | str | None = None
    failures: int = 0
    error: str | None = None
    due_at: datetime = _BEGINNING

    def are_due(self, what: UsablePeer | str | None) -> bool:
        return what != self.tried or datetime.now(UTC) >= self.due_at

    def note(self, what: UsablePeer | str | None, error: str | None) -> None:
        failures = self.failures if what == self.tried else 0
        wait = REPAIR_EVERY if error is None else BACKOFF.wait(failures)
        self.failures = 0 if error is None else failures + 1
        self.tried, self.error, self.due_at = what, error, datetime.now(UTC) + wait


@dataclass(slots=True)
class Credentials:
    """The folders below `folder`: `FOLDER/<peer>/` is what `peer credentials` writes."""

    database: AsyncDatabase
    releaser: Releaser
    folder: Path
    writes: dict[str, _Attempts] = field(default_factory=dict)
    hooks: dict[str, _Attempts] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)  # why a folder cannot be removed, by peer

    def jobs(self) -> list[Job]:
        """Return it as jobs of a gateway."""
        return [
            Job("credentials", LOOK_EVERY, self.keep),
            Job("hooks of credentials", LOOK_EVERY, self.run_hooks),
        ]

    async def keep(self) -> None:
        """Make the folders true; one peer's failure holds up no other."""
        usable = await self.database.run(rows.usable_peers)
        for peer in usable:
            attempts = self.writes.setdefault(peer.name, _Attempts())
            if attempts.are_due(peer):
                with about(peer=peer.name):
                    await self._write(peer, attempts)
        await self._remove_others({peer.name for peer in usable})

    async def run_hooks(self) -> bool:
        """Run a hook that is due; return whether another one may be, as no two run at once."""
        for name, due in (await asyncio.to_thread(self._due_hooks, list(self.writes))).items():
            attempts = self.hooks.setdefault(name, _Attempts())
            if (due is not None or attempts.error is not None) and attempts.are_due(due):
                with about(peer=name):
                    await self._run_hook(name, due, attempts)
                return True
        return False

    def _due_hooks(self, names: list[str]) -> dict[str, str | None]:
        return {name: hook_due(self.folder / name) for name in names}

    async def _write(self, peer: UsablePeer, attempts: _Attempts) -> None:
        path, error = self.folder / peer.name, None
        try:
            released = await asyncio.to_thread(write_to_folder, self.releaser, peer.name, path)
        except MosaicError as failure:
            error = failure.message
        else:
            if released.changed:
                _log.info("wrote its credential to %s", path)
        attempts.note(peer, error)
        await self._record(peer.name, error)

    async def _run_hook(self, name: str, due: str | None, attempts: _Attempts) -> None:
        path = self.folder / name
        try:
            error = await in_thread(run_due_hook, self.releaser, name, path)
        except MosaicError as failure:
            error = failure.message
        attempts.note(due, error)
        await self._record(name, error)

    async def _record(self, name: str, error: str | None) -> None:
        """Log a failure, and record why the credential of a peer is not in use, if it is not."""
        if error is not None:
            _log.warning("its credential is not in use yet: %s", error)
        both = (self.writes.get(name), self.hooks.get(name))
        reasons = [each.error for each in both if each is not None and each.error is not None]
        await self.database.run(rows.record_failure, name, reasons[0] if reasons else None)

    async def _remove_others(self, names: set[str]) -> None:
        for path in await asyncio.to_thread(credential_folders, self.folder):
            if path.name not in names:
                await self._remove(path)

    async def _remove(self, path: Path) -> None:
        for attempts in (self.writes, self.hooks):
            attempts.pop(path.name, None)
        try:
            await asyncio.to_thread(remove_credential, path)
        except MosaicError as error:
            if self.stuck.get(path.name) != error.message:  # once as long as it stays
                _log.warning("its credential is not removed: %s; trying again", error.message)
            self.stuck[path.name] = error.message
        else:
            self.stuck.pop(path.name, None)
            _log.info("removed the credential in %s", path)
            await self._record(path.name, None)
