"""Renewals as a job: every outbound certificate that is due, and fewer attempts where one fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.model.backoff import Backoff
from reconciler.core.telemetry import SILENT, Telemetry
from reconciler.errors import MosaicError, Retry
from reconciler.loops.jobs import Job
from reconciler.loops.outbound import answer_of, each_peer
from reconciler.loops.remote_grants import ask_grant
from reconciler.renew import is_due, renew
from reconciler.store.outbound import peers

if TYPE_CHECKING:
    from reconciler.renew import Renewer
    from reconciler.store.outbound.peers import Outbound

RENEW_EVERY: Final = timedelta(seconds=30)
BACKOFF: Final = Backoff(RENEW_EVERY, timedelta(hours=1))

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Renewals:
    """Renewing of all outbound peers; `waiting` holds those that failed: how often, until when."""

    renewer: Renewer
    telemetry: Telemetry = SILENT
    waiting: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def job(self) -> Job:
        """Return it as a job of a gateway."""
        return Job("renewals", RENEW_EVERY, self.renew_due)

    async def renew_due(self) -> None:
        """Renew what is due; one peer's failure holds up no other."""
        await each_peer(await self.renewer.database.run(peers.active_peers), self._renew_if_due)

    async def _renew_if_due(self, held: Outbound) -> None:
        now, certificate = self.renewer.connector.clock(), held.certificate
        if certificate is None or not is_due(certificate, now):  # (1)
            self.waiting.pop(held.name, None)
            return
        failures, until = self.waiting.get(held.name, (0, now))
        if now >= until:
            await self._attempt(held, failures)

    async def _attempt(self, held: Outbound, failures: int) -> None:
        try:
            serial = await answer_of(renew(self.renewer, held))
        except MosaicError as error:
            self.telemetry.renewal_failure(held.name, error.code)
            wait = BACKOFF.wait(failures)
            if isinstance(error, Retry):
                wait = max(wait, error.retry_after)
            # too early by the other clock is no failure of this side
            counted = failures if error.code == "renewal_early" else failures + 1
            self.waiting[held.name] = (counted, self.renewer.connector.clock() + wait)
            _log.warning("not renewed: %s; %s", error, error.hint)
            await ask_grant(self.renewer, held)  # it may have ended
        else:
            self.waiting.pop(held.name, None)
            _log.info("renewed, certificate %s", serial)
