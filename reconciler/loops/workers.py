"""The workers of a gateway: they carry to the CA what the rows have decided already.

A CA that is down delays a revocation at the CA, never the revocation itself, which is the row.
Every step is safe to repeat and to run in several processes at once.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.events import RequestsRefused
from reconciler.crypto.certificates import read_crl
from reconciler.errors import MosaicError, Retry
from reconciler.loops.jobs import EXPIRE_EVERY, Job, run_jobs
from reconciler.store.audit import log as audit
from reconciler.store.ending import expire_due
from reconciler.store.issuance import crl, thefts
from reconciler.store.issuance import revocation_queue as queue
from reconciler.store.locks import actor_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.enroll import Gateway
    from reconciler.store.db import Tx

_log = logging.getLogger(__name__)

REVOKE_EVERY: Final = timedelta(seconds=1)
RECOVER_EVERY: Final = timedelta(seconds=5)
REVOKED_AT_ONCE: Final = 4  # at the CA, which so has room for signs
CRL_EVERY: Final = timedelta(seconds=10)  # the CA makes it every 30 s
REFUSALS_EVERY: Final = timedelta(seconds=60)
THEFTS_EVERY: Final = timedelta(seconds=10)


async def run_workers(gateway: Gateway, stop: asyncio.Event) -> None:
    """Run every worker until `stop`, as `run_jobs` does."""
    jobs = (
        Job("revocations", REVOKE_EVERY, lambda: revoke_due(gateway)),
        Job("recovery", RECOVER_EVERY, lambda: recover(gateway)),
        Job("expiry", EXPIRE_EVERY, lambda: expire(gateway)),
        Job("revocation list", CRL_EVERY, lambda: refresh_crl(gateway)),
        Job("theft signals", THEFTS_EVERY, lambda: record_thefts(gateway)),
    )
    await run_jobs(jobs, stop)


async def keep_refusals(gateway: Gateway, stop: asyncio.Event) -> None:
    """Record what this process refuses, now and then until `stop`, and the rest then."""
    await run_jobs([Job("refusals", REFUSALS_EVERY, lambda: record_refusals(gateway))], stop)
    try:
        await record_refusals(gateway)
    except MosaicError as error:  # it ends all the same: the log has each of them
        _log.warning("the last refusals cannot be recorded: %s", error)


async def revoke_due(gateway: Gateway) -> bool:
    """Revoke a batch of what is due at the CA; return whether there is more, else fetch the list.

    The list of the moment lacks the last ones: the CA makes it by the clock, and the timer follows.
    """
    due = await gateway.database.run(queue.claim_revocations)
    errors = await _revoke(gateway, due)
    done = [each for each in due if each not in errors]
    for each, error in errors.items():
        await gateway.database.run(queue.postpone, each, error.message)
    if errors:
        last = [*errors.values()][-1]
        _log.warning("%d serials are not revoked at the CA yet: %s", len(errors), last)
    if done:
        await gateway.database.run(queue.record_revoked, done, actor_of("worker"))
        _log.info("revoked at the CA: %d", len(done))
    if len(done) == queue.BATCH:
        return True
    if done:
        await refresh_crl(gateway)
    return False


async def _revoke(gateway: Gateway, due: Sequence[queue.Due]) -> dict[queue.Due, MosaicError]:
    """Revoke at the CA, some at once; return what failed.

    Once it does not answer, the rest is not tried: each would wait in vain, and past its lease.
    """
    slots = asyncio.Semaphore(REVOKED_AT_ONCE)
    errors: dict[queue.Due, MosaicError] = {}
    outage: Retry | None = None

    async def revoke(each: queue.Due) -> None:
        nonlocal outage
        async with slots:
            if outage is not None:
                errors[each] = outage
                return
            try:
                reason = f"grant {each.grant} ended or was enrolled again"
                await gateway.ca.revoke(each.serial, reason)
            except MosaicError as error:
                errors[each] = error
                if isinstance(error, Retry):
                    outage = error

    await asyncio.gather(*map(revoke, due))
    return errors


async def recover(gateway: Gateway) -> None:
    """Give up the attempts whose process has ended."""
    if given_up := await gateway.database.run(queue.give_up_stale_intents, actor_of("worker")):
        _log.warning("gave up %d signing attempts whose process has ended", given_up)


async def expire(gateway: Gateway) -> None:
    """Move the grants whose end has passed."""

    def move(tx: Tx) -> int:
        events = expire_due(tx)
        audit.append(tx, actor_of("worker"), events)
        return len(events)

    if moved := await gateway.database.run(move):
        _log.info("%d grants have expired", moved)


async def refresh_crl(gateway: Gateway) -> None:
    """Fetch the CA's list, keep it for peers, and queue again what the list lacks."""
    der = await gateway.ca.crl()
    issuers = await gateway.ca.intermediates()
    facts = await asyncio.to_thread(read_crl, der, issuers[0])  # 50 ms for 10,000 entries
    await gateway.database.run(crl.store_crl, facts, der)
    for event in await gateway.database.run(queue.follow_list, facts, actor_of("worker")):
        _log.warning(
            "%s: the certificate %s was revoked at the CA, and not by this gateway; it is ended",
            event.row.subject,
            event.serial,
        )
    for serial in await gateway.database.run(queue.requeue_missing, facts, actor_of("worker")):
        _log.warning("the CA's list lacks the revoked serial %s: it is revoked again", serial)


async def record_thefts(gateway: Gateway) -> None:
    """Record the theft signals that had to wait, and how often others came again."""
    await gateway.database.run(thefts.record_due, actor_of("worker"))


async def record_refusals(gateway: Gateway) -> None:
    """Record the sums of what was refused since the last time, in one audit row."""
    counted = dict(gateway.refusals)
    if not counted:
        return
    refused = tuple(
        {"code": code, "address": address, "count": count}
        for (code, address), count in sorted(counted.items())
    )
    await gateway.database.run(audit.append, actor_of("worker"), [RequestsRefused(refused)])
    gateway.refusals.subtract(counted)
    for key in [key for key, count in gateway.refusals.items() if count <= 0]:
        del gateway.refusals[key]
