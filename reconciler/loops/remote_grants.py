"""The other side's news as a job: what has become of the grants that other gateways gave us."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.errors import MosaicError
from reconciler.loops.jobs import Job, jitter
from reconciler.loops.outbound import answer_of, each_peer
from reconciler.renew import refresh_grant
from reconciler.store.outbound import peers

if TYPE_CHECKING:
    from reconciler.renew import Renewer
    from reconciler.store.outbound.peers import Outbound

LOOK_EVERY: Final = timedelta(seconds=5)
ASK_EVERY: Final = timedelta(minutes=15)
JITTER: Final = 0.2  # the share by which a wait differs, so that gateways do not ask in step

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class RemoteGrants:
    """Asking of all outbound peers; `next_at` says when each is asked next: a new one at once."""

    renewer: Renewer
    next_at: dict[str, datetime] = field(default_factory=dict)

    def job(self) -> Job:
        """Return it as a job of a gateway."""
        return Job("grants of other gateways", LOOK_EVERY, self.ask_due)

    async def ask_due(self) -> None:
        """Ask those that are due; one peer's failure holds up no other's question."""
        now = self.renewer.connector.clock()
        active = await self.renewer.database.run(peers.active_peers)
        for name in self.next_at.keys() - {held.name for held in active}:
            del self.next_at[name]
        due = [held for held in active if self.next_at.get(held.name, now) <= now]
        for held in due:
            wait = ASK_EVERY * (1 - JITTER + 2 * JITTER * jitter())
            self.next_at[held.name] = now + wait
        await each_peer(due, lambda held: ask_grant(self.renewer, held))


async def ask_grant(renewer: Renewer, held: Outbound) -> None:
    """Ask what has become of a peer's grant, and log what has changed."""
    try:
        withdrawn = await answer_of(refresh_grant(renewer, held))
    except MosaicError as error:
        _log.warning("the other side does not say what its grant is: %s", error)
        return
    if withdrawn is not None and withdrawn != held.withdrawn:
        _log.warning("the other side has %s its grant", withdrawn.what)
    elif withdrawn is None and held.withdrawn is not None:
        _log.info("the other side has given its grant back")
