"""The sending of notices as jobs of a gateway: one a target, so that none waits for another.

A notice is sent at least once and in order. What is stored decides when it is tried again, so any
number of processes may run this, and one that is killed is followed by another with the same id.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from reconciler.clients.notices import NoticeSender, TargetAnswer, describe
from reconciler.core.model.text import counted
from reconciler.core.notices.commit_status import REFUSALS
from reconciler.errors import MosaicError
from reconciler.loops.jobs import Job, Stopped, jitter, run_jobs, run_unless
from reconciler.store.notices import retention
from reconciler.store.notices import targets as store

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from reconciler.core.notices.target import Target
    from reconciler.store.async_database import AsyncDatabase
    from reconciler.store.notices.targets import Delivery

_log = logging.getLogger(__name__)

SEND_EVERY: Final = timedelta(seconds=1)
EXPIRE_EVERY: Final = timedelta(minutes=1)
GONE: Final = 410  # Standard Webhooks: disable the endpoint, and stop sending it messages
DISABLED: Final = "disabled until `up` or `serve` starts again, with a URL that takes notices"
MAX_REFUSALS: Final = 8  # of one status by a forge, in about ten minutes


@dataclass(frozen=True, slots=True)
class Notices:
    """The sender of a gateway's notices."""

    database: AsyncDatabase
    sender: NoticeSender
    targets: Sequence[Target]

    async def begin(self) -> None:
        """Note which targets there are, before `run`.

        One that was disabled is tried again: a person may have written another URL.
        """
        await self.register()
        for target in self.targets:
            await self.database.run(store.enable, target.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, which a request under way does not hold up."""
        jobs = [
            Job(f"notices to {target.name}", SEND_EVERY, partial(self.send_next, target, stop))
            for target in self.targets
        ]
        await run_jobs([*jobs, Job("old notices", EXPIRE_EVERY, self.expire)], stop)

    async def expire(self) -> None:
        """Note which targets there are, and give up what they did not take in time."""
        await self.register()
        for lost in await self.database.run(retention.expire):
            _log.error(
                "notices to %s: gave up %s that it did not take within %d days",
                lost.target,
                counted(lost.count, "notice"),
                retention.RETENTION.days,
            )

    async def register(self) -> None:
        """Note which targets there are."""
        for each in self.targets:
            await self.database.run(store.register, each.name, str(each.kind), each.events)

    async def send_next(self, target: Target, stop: asyncio.Event) -> bool:
        """Send the next notice of a target; return whether another one may be due."""
        delivery = await self.database.run(store.claim, target.name)
        if delivery is None:
            return False
        try:
            answer = await run_unless(stop, self.sender.send(target, delivery.document))
        except MosaicError as error:
            await self._failed(delivery, describe(error), None)
            return False
        except Stopped:
            await self.database.run(store.release, delivery)
            return False
        if answer is None:
            await self.database.run(store.skip, delivery)
            return True
        if answer.taken:
            await self.database.run(store.record_success, delivery)
            if delivery.attempts:
                _log.info("notices to %s: recovered", target.name)
            return True
        if (
            target.kind.is_forge
            and answer.status in REFUSALS
            and delivery.attempts + 1 >= MAX_REFUSALS
        ):
            await self.database.run(store.give_up, delivery, str(answer))
            _log.error("notices to %s: gave up a commit status: %s", target.name, answer)
            return True
        if answer.status == GONE:
            reason = f"{DISABLED}: {answer}"
            await self.database.run(store.record_failure, delivery, reason, None)
            _log.error("notices to %s: %s", target.name, reason)
            return False
        await self._failed(delivery, str(answer), answer)
        return False

    async def _failed(self, delivery: Delivery, reason: str, answer: TargetAnswer | None) -> None:
        retry_after = answer.retry_after if answer is not None else None
        wait = store.wait_after(delivery.attempts, retry_after, jitter())
        await self.database.run(store.record_failure, delivery, reason, wait)
        if delivery.attempts == 0:  # once as long as it lasts
            _log.warning("notices to %s: %s; trying again", delivery.target, reason)
