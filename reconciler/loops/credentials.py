"""Credentials as a job: a folder for each outbound peer, kept as the rows are.

A hook that fails is tried again, ever more seldom. A peer that is revoked, or whose grant has ended
over there, has no folder.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.model.backoff import Backoff
from reconciler.credentials.folder import credential_folders, remove_credential
from reconciler.errors import MosaicError
from reconciler.log import about
from reconciler.loops.jobs import Job
from reconciler.release import release_to_folder
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
    """What was last tried for a peer, how often it failed since, and when it is due again."""

    tried: UsablePeer | None = None
    failures: int = 0
    due_at: datetime = _BEGINNING


@dataclass(slots=True)
class Credentials:
    """The folders below `folder`: `FOLDER/<peer>/` is what `peer credentials` writes."""

    database: AsyncDatabase
    releaser: Releaser
    folder: Path
    attempts: dict[str, _Attempts] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)  # why a folder cannot be removed, by peer

    def job(self) -> Job:
        """Return it as a job of a gateway."""
        return Job("credentials", LOOK_EVERY, self.keep)

    async def keep(self) -> None:
        """Make the folders true; one peer's failure holds up no other."""
        usable = await self.database.run(rows.usable_peers)
        now = datetime.now(UTC)
        for peer in usable:
            attempts = self.attempts.setdefault(peer.name, _Attempts())
            if attempts.tried != peer or now >= attempts.due_at:
                with about(peer=peer.name):
                    await self._release(peer, attempts, now)
        await self._remove_others({peer.name for peer in usable})

    async def _release(self, peer: UsablePeer, attempts: _Attempts, now: datetime) -> None:
        try:
            path = self.folder / peer.name
            released = await asyncio.to_thread(release_to_folder, self.releaser, peer.name, path)
            error = released.hook_error
        except MosaicError as failure:
            released, error = None, failure.message
        if released is not None and released.changed:
            _log.info("wrote its credential to %s", self.folder / peer.name)
        if attempts.tried != peer:
            attempts.tried, attempts.failures = peer, 0
        if error is None:
            attempts.failures, attempts.due_at = 0, now + REPAIR_EVERY
        else:
            attempts.due_at = now + BACKOFF.wait(attempts.failures)
            attempts.failures += 1
            _log.warning("its credential is not in use yet: %s", error)
        await self.database.run(rows.record_failure, peer.name, error)

    async def _remove_others(self, names: set[str]) -> None:
        for path in await asyncio.to_thread(credential_folders, self.folder):
            if path.name not in names:
                await self._remove(path)

    async def _remove(self, path: Path) -> None:
        self.attempts.pop(path.name, None)
        try:
            await asyncio.to_thread(remove_credential, path)
        except MosaicError as error:
            if self.stuck.get(path.name) != error.message:  # once as long as it stays
                _log.warning("its credential is not removed: %s; trying again", error.message)
            self.stuck[path.name] = error.message
        else:
            self.stuck.pop(path.name, None)
            _log.info("removed the credential in %s", path)
