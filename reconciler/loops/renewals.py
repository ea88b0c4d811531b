"""The certificates that we hold of other gateways: renewed before they end, without a token.

    (1) at two thirds of its life, or later, a certificate is due, until 30 days past its end
    (2) make the next key; seal it and store it with its CSR; commit, and only then ask
    (3) over a connection that trusts the stored roots alone, ask by a proof of the current key:
        the same CSR gets the same answer, so a lost one costs nothing
    (4) check what came as at enrollment, and that it ends later than what it replaces
    (5) store it, with its key, in the place of the old one

A grant that has ended is told in the row, so that `peer show` says it; it is asked about again, but
ever more seldom.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.issuance.policy import renew_after
from reconciler.crypto.certificates import fingerprint_of
from reconciler.crypto.csr import make_csr
from reconciler.crypto.issued_certificate import verify_issued
from reconciler.crypto.keys import generate_key, load_private_key, private_key_pem, spki_sha256
from reconciler.crypto.seal import seal, unseal
from reconciler.errors import MosaicError, Refused
from reconciler.log import about
from reconciler.loops.jobs import Job
from reconciler.store import outbound
from reconciler.store.outbound import NEXT_KEY, ClientKey, client_key_context

if TYPE_CHECKING:
    from reconciler.clients.gateway.client import GatewayClient
    from reconciler.crypto.keys import PrivateKey
    from reconciler.join import Joiner
    from reconciler.store.outbound import HeldCertificate, Outbound

RENEW_EVERY: Final = timedelta(seconds=30)
GRACE: Final = timedelta(days=30)  # DESIGN 7: how long past its end a certificate renews
MAX_WAIT: Final = timedelta(hours=1)  # between two attempts that failed

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Renewals:
    """Renewing of all outbound peers; `waiting` holds those that failed: how often, until when."""

    joiner: Joiner
    waiting: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def job(self) -> Job:
        """Return it as a job of a gateway."""
        return Job("renewals", RENEW_EVERY, self.renew_due)

    async def renew_due(self) -> None:
        """Renew what is due; one peer's failure holds up no other."""
        now = self.joiner.clock()
        for held in await self.joiner.database.run(outbound.with_certificates):
            certificate = held.certificate
            if certificate is None or not is_due(certificate, now):  # (1)
                self.waiting.pop(held.name, None)
                continue
            with about(held.name):
                await self._attempt(held, now)

    async def _attempt(self, held: Outbound, now: datetime) -> None:
        failures, until = self.waiting.get(held.name, (0, now))
        if now < until:
            return
        try:
            serial = await renew(self.joiner, held)
        except MosaicError as error:
            wait = min(RENEW_EVERY * 2**failures, MAX_WAIT)
            self.waiting[held.name] = (failures + 1, now + wait)
            _log.warning("not renewed: %s; %s", error.message, error.hint)
        else:
            self.waiting.pop(held.name, None)
            _log.info("renewed, certificate %s", serial)


def is_due(certificate: HeldCertificate, now: datetime) -> bool:
    """Tell whether a certificate should be renewed, and still can be."""
    due = renew_after(certificate.not_before, certificate.not_after)
    return due <= now < certificate.not_after + GRACE


async def renew(joiner: Joiner, held: Outbound) -> str:
    """Renew the certificate of an active peer; return the new one's serial.

    Raises:
        MosaicError: `grant_ended`; `peer_wrong_answer` for a certificate that is not the one asked
            for, or ends earlier than ours; what `GatewayClient` raises.
    """
    assert held.sealed_key is not None
    assert held.certificate is not None
    ends = held.certificate.not_after
    current = load_private_key(unseal(held.sealed_key, client_key_context(held.id), joiner.keys))
    if held.next_sealed_key is None:
        held = await _store_next(joiner, held)  # (2)
    assert held.next_sealed_key is not None
    assert held.next_csr_pem is not None
    sealed_for = client_key_context(held.id, NEXT_KEY)
    following = load_private_key(unseal(held.next_sealed_key, sealed_for, joiner.keys))
    pin = fingerprint_of(held.roots[0])
    async with joiner.connect(held.endpoint, pin) as client:
        try:
            issued = await client.renew(current, held.next_csr_pem)  # (3)
        except Refused as error:
            if error.code == "grant_ended":
                await _tell_grant(joiner, client, held, current)
            raise
        spki = spki_sha256(following.public_key())
        leaf = verify_issued(issued, spki, client.roots, joiner.clock(), joiner.oid_arc)  # (4)
        if leaf.facts.not_after < ends:
            raise Refused(
                "peer_wrong_answer",
                "the new certificate ends before the one that it would replace",
                hint="ask the grantor: the grant may end soon",
            )
        sealed = seal(private_key_pem(following), client_key_context(held.id), joiner.keys)
        key = ClientKey(sealed, held.next_csr_pem, client.roots)
        await joiner.database.run(  # (5)
            outbound.renewed, held, key, leaf, issued.grant, joiner.actor
        )
    return leaf.facts.serial


async def _store_next(joiner: Joiner, held: Outbound) -> Outbound:
    key = generate_key()
    sealed = seal(private_key_pem(key), client_key_context(held.id, NEXT_KEY), joiner.keys)
    stored = ClientKey(sealed, make_csr(key), held.roots)
    return await joiner.database.run(outbound.store_next, held, stored, joiner.actor)


async def _tell_grant(
    joiner: Joiner, client: GatewayClient, held: Outbound, key: PrivateKey
) -> None:
    told = await client.grant(key)
    await joiner.database.run(outbound.tell_grant, held, told)
