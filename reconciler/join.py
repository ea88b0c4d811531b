"""Joining another gateway: an invitation becomes a certificate whose key never left this side.

    (1) first contact: only the pinned root is trusted, and nothing is sent before; a clock that
        is too far from theirs stops here, because none of our proofs would be accepted
    (2) if a key is stored already, try a pickup with it first: its answer may have been lost
    (3) else make a key; seal it, store it with its CSR and the roots; commit
    (4) only now spend the token, with as much patience as the other side asks for
    (5) if the token is spent, perhaps by our own request: pick up by a proof of the key; what has
        expired since is renewed by it
    (6) check the certificate: the chain to the pinned roots, key, names, usage and time
    (7) store it: the peer is active

After a crash between any two steps the same command continues with the stored key. A new
invitation replaces the token and keeps the key, unless its grant has ended or is another one: one
key serves one grant. For an active peer it is used only if the certificate is due for renewal.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.clients.gateway.invitation_check import explain_used, require_clock
from reconciler.core.issuance.policy import renew_after
from reconciler.core.model.origin import address_of
from reconciler.core.model.times import rfc3339
from reconciler.crypto.client_certificate import verify_client_certificate
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key, load_private_key, private_key_pem, spki_sha256
from reconciler.crypto.seal import seal, unseal
from reconciler.errors import Refused, Retry
from reconciler.log import bind
from reconciler.store.outbound import peers
from reconciler.store.outbound.peers import ClientKey, Outbound, client_key_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from reconciler.clients.gateway.client import GatewayClient, GatewayConnector
    from reconciler.core.issuance.contract import IssuedDocument
    from reconciler.core.issuance.invitation import Invitation
    from reconciler.core.issuance.x509 import SignedLeaf
    from reconciler.crypto.keys import PrivateKey
    from reconciler.crypto.seal import KeyWrapper
    from reconciler.store.async_database import AsyncDatabase

PATIENCE: Final = timedelta(minutes=1)  # with an attempt in flight, a rate limit, a CA that is down
MIN_WAIT_S: Final = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Joiner:
    """What joining needs on this side; `report` is called with what is being waited for."""

    database: AsyncDatabase
    keys: KeyWrapper = field(repr=False)
    connector: GatewayConnector
    actor: str
    patience: timedelta = PATIENCE
    report: Callable[[str], None] = _log.info


async def join(joiner: Joiner, name: str, invitation: Invitation) -> Outbound:
    """Enroll the live outbound peer `name` by an invitation, or finish an enrollment of it.

    Raises:
        MosaicError: `name_unknown`; `state_conflict` for a peer that is active already and an
            invitation that is not its own, which is not used unless the certificate is due for
            renewal; `peer_wrong_answer` for a certificate that is not the one asked for; what
            `GatewayClient` raises.
    """
    bind(peer=name)
    peer = await joiner.database.run(peers.find, name)
    _check_host(peer, invitation)
    async with joiner.connector.connect(invitation.base_url, invitation.pin) as client:  # (1)
        until_s = asyncio.get_running_loop().time() + joiner.patience.total_seconds()
        enrollment = _Enrollment(joiner, client, invitation, until_s)
        require_clock(client, joiner.connector.clock())
        key, issued = await enrollment.earlier(peer)  # (2)
        held = issued is not None and _holds(peer, issued)
        if held:
            if await enrollment.is_spent():  # by this peer: the same command was run again
                return peer
            if not _is_due(peer, joiner.connector.clock()):
                raise _active(peer)
            issued = None  # it should have been renewed, and was not
        if issued is None:
            if key is None:
                peer, key = await enrollment.new_key(peer)  # (3)
            try:
                issued = await enrollment.enroll(peer, key)  # (4) (5)
            except Refused as error:
                if error.code != "key_in_use":
                    raise
                if held:
                    raise _active(peer) from None
                peer, key = await enrollment.new_key(peer)
                issued = await enrollment.enroll(peer, key)
        assert key is not None
        leaf = enrollment.check(issued, key)  # (6)
        done = await joiner.database.run(  # (7)
            peers.activate, peer, leaf, issued.grant, client.roots, joiner.actor
        )
    _log.info("enrolled, certificate %s", leaf.facts.serial)
    return done


@dataclass(frozen=True, slots=True)
class _Enrollment:
    joiner: Joiner
    client: GatewayClient
    invitation: Invitation
    until_s: float  # of the loop's clock: when patience is over

    async def earlier(self, peer: Outbound) -> tuple[PrivateKey | None, IssuedDocument | None]:
        """Return the stored key, where it can go on, and a certificate that it was issued."""
        if peer.sealed_key is None:
            return None, None
        key = _open(self.joiner, peer, peer.sealed_key)
        try:
            issued = await self._pick_up(key)
        except Refused as error:
            if error.code != "grant_ended":
                raise
            return None, None  # one key serves one grant, and its own has ended
        return key, None if issued is not None and self._has_ended(issued) else issued

    async def is_spent(self) -> bool:
        """Tell whether the token has been used."""
        try:
            await self.client.token_status(self.invitation.token)
        except Refused as error:
            return error.code == "token_spent"
        return False

    async def new_key(self, peer: Outbound) -> tuple[Outbound, PrivateKey]:
        """Make a key and store it, sealed, in place of those of the row."""
        key = generate_key()
        sealed = seal(private_key_pem(key), client_key_context(peer.id), self.joiner.keys)
        stored = ClientKey(sealed, make_csr(key), self.client.roots)
        actor = self.joiner.actor
        return await self.joiner.database.run(peers.store_pending, peer, stored, actor), key

    async def enroll(self, peer: Outbound, key: PrivateKey) -> IssuedDocument:
        """Spend the token on the stored CSR; where it is gone, look whether it went to us."""
        assert peer.csr_pem is not None
        csr_pem = peer.csr_pem
        self.joiner.report(f"requesting a certificate from {self.invitation.base_url}")
        try:
            return await self._patiently(lambda: self.client.enroll(self.invitation.token, csr_pem))
        except Refused as error:
            if error.outcome.status != 410:
                raise
            return await self._pick_up_after(error, peer, key)  # (5)

    def check(self, issued: IssuedDocument, key: PrivateKey) -> SignedLeaf:
        """Return the certificate, once it is the one that was asked for."""
        spki = spki_sha256(key.public_key())
        now, arc = self.joiner.connector.clock(), self.joiner.connector.oid_arc
        return verify_client_certificate(issued, spki, self.client.roots, now, arc)

    async def _pick_up(self, key: PrivateKey) -> IssuedDocument | None:
        """Return what was issued for the key, or None where nothing was."""
        try:
            return await self._patiently(lambda: self.client.pickup(key))
        except Refused as error:
            if error.code != "proof_invalid":
                raise
            return None

    async def _pick_up_after(
        self, refusal: Refused, peer: Outbound, key: PrivateKey
    ) -> IssuedDocument:
        """Return what the token was spent on, if that was the key, and what has followed it."""
        issued = await self._pick_up(key)
        if issued is None:
            raise explain_used(refusal)
        if self._has_ended(issued) and refusal.code == "token_spent":
            assert peer.csr_pem is not None
            csr_pem = peer.csr_pem
            return await self._patiently(lambda: self.client.renew(key, csr_pem))
        if self._has_ended(issued) or _holds(peer, issued):
            raise refusal
        return issued

    def _has_ended(self, issued: IssuedDocument) -> bool:
        return issued.not_after <= self.joiner.connector.clock()

    async def _patiently(self, ask: Callable[[], Awaitable[IssuedDocument]]) -> IssuedDocument:
        """Ask until the answer is no `Retry`, or patience is over."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await ask()
            except Retry as error:
                wait_s = max(error.retry_after.total_seconds(), MIN_WAIT_S)
                if loop.time() + wait_s > self.until_s:
                    raise _again_later(error) from error
                self.joiner.report(f"waiting {wait_s:.0f} s, then trying again: {error.message}")
                await asyncio.sleep(wait_s)


def _open(joiner: Joiner, peer: Outbound, sealed: bytes) -> PrivateKey:
    return load_private_key(unseal(sealed, client_key_context(peer.id), joiner.keys))


def _holds(peer: Outbound, issued: IssuedDocument) -> bool:
    """Tell whether the row has this certificate, or one of its key that expires no earlier."""
    current = peer.certificate
    return current is not None and issued.not_after <= current.not_after and peer.has_pair


def _is_due(peer: Outbound, now: datetime) -> bool:
    """Tell whether the certificate should have been renewed."""
    current = peer.certificate
    return current is not None and renew_after(current.not_before, current.not_after) <= now


def _active(peer: Outbound) -> Refused:
    assert peer.certificate is not None
    return Refused(
        "state_conflict",
        f"the peer {peer.name!r} is active: its certificate is valid until "
        f"{rfc3339(peer.certificate.not_after)}; the invitation was not used",
        hint="to enroll under another grant, first revoke this peer: "
        f"`mosaic federation peer revoke {peer.name}`",
    )


def _check_host(peer: Outbound, invitation: Invitation) -> None:
    if address_of(peer.endpoint) != address_of(invitation.base_url):
        raise Refused(
            "state_conflict",
            f"the peer {peer.name!r} is at {peer.endpoint}, and the invitation is for "
            f"{invitation.base_url}",
            hint="add it under another name, or change the peer's endpoint in its manifest first",
        )


def _again_later(error: Retry) -> Retry:
    hint = "run the same command again: it continues with the stored key"
    return Retry(error.code, error.message, hint=hint, retry_after=error.retry_after)
