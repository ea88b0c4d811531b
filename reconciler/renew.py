"""Renewal: a certificate of another gateway is replaced before it expires, without a token.

    (1) at two thirds of its life, or later, a certificate is due, until 30 days past its end
    (2) make the next key; seal it and store it with its CSR; commit, and only then ask
    (3) over a connection that trusts the stored roots alone, ask by a proof of the current key:
        the same CSR gets the same answer, so a lost one costs nothing
    (4) check the new certificate as at enrollment, and that it expires no earlier than the old one
    (5) store it, with its key, in the place of the old one

After a crash between any two steps the next renewal continues with the stored key. `refresh_grant`
asks what has become of the grant, so that `peer show` says it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.issuance.policy import renew_after
from reconciler.crypto.certificates import fingerprint_of
from reconciler.crypto.client_certificate import verify_client_certificate
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key, load_private_key, private_key_pem, spki_sha256
from reconciler.crypto.seal import seal, unseal
from reconciler.errors import Retry
from reconciler.store.outbound import peers
from reconciler.store.outbound.peers import NEXT_KEY, ClientKey, client_key_context
from reconciler.store.outbound.remote_grant import store_grant

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.clients.gateway.client import GatewayConnector
    from reconciler.core.issuance.withdrawal import Withdrawal
    from reconciler.core.issuance.x509 import SignedLeaf
    from reconciler.crypto.keys import PrivateKey
    from reconciler.crypto.seal import KeyWrapper, SealContext
    from reconciler.store.async_database import AsyncDatabase
    from reconciler.store.outbound.peers import HeldCertificate, Outbound

GRACE: Final = timedelta(days=30)  # how long past its end a certificate renews


@dataclass(frozen=True, slots=True)
class Renewer:
    """What renewing needs on this side."""

    database: AsyncDatabase
    keys: KeyWrapper = field(repr=False)
    connector: GatewayConnector
    actor: str


def is_due(certificate: HeldCertificate, now: datetime) -> bool:
    """Tell whether a certificate should be renewed, and still can be."""
    due = renew_after(certificate.not_before, certificate.not_after)  # (1)
    return due <= now < certificate.not_after + GRACE


async def renew(renewer: Renewer, peer: Outbound) -> str:
    """Renew the certificate of an active peer; return the new one's serial.

    Raises:
        MosaicError: `grant_ended`; `peer_wrong_answer` for a certificate that is not the one asked
            for; `renewal_early` for one that expires before ours; what `GatewayClient` raises.
    """
    if peer.next_sealed_key is None:
        peer = await _store_next(renewer, peer)  # (2)
    assert peer.certificate is not None
    assert peer.next_csr_pem is not None
    place = client_key_context(peer.id)
    current_key = _open(renewer, peer.sealed_key, place)
    next_key = _open(renewer, peer.next_sealed_key, client_key_context(peer.id, NEXT_KEY))
    async with renewer.connector.connect(peer.endpoint, *map(fingerprint_of, peer.roots)) as client:
        issued = await client.renew(current_key, peer.next_csr_pem)  # (3)
        spki = spki_sha256(next_key.public_key())
        leaf = verify_client_certificate(
            issued, spki, client.roots, renewer.connector.clock(), renewer.connector.oid_arc
        )  # (4)
        _require_longer(leaf, peer.certificate, renewer.connector.clock())
        sealed = seal(private_key_pem(next_key), place, renewer.keys)
        key = ClientKey(sealed, peer.next_csr_pem, client.roots)
        await renewer.database.run(  # (5)
            peers.store_renewal, peer, key, leaf, issued.grant, renewer.actor
        )
    return leaf.facts.serial


def _require_longer(leaf: SignedLeaf, current: HeldCertificate, now: datetime) -> None:
    """Raise `Retry` for a certificate that expires before the one that it would replace.

    Until when: by then it has expired, and the next one, if it lasts as long, expires no earlier.
    """
    new, old = leaf.facts.not_after, current.not_after
    if new < old:
        raise Retry(
            "renewal_early",
            "the new certificate expires before the one that it would replace",
            hint="ask the grantor: the grant may expire soon, or certificates last less long now",
            retry_after=max(new - now, old - new),
        )


async def _store_next(renewer: Renewer, peer: Outbound) -> Outbound:
    key = generate_key()
    sealed = seal(private_key_pem(key), client_key_context(peer.id, NEXT_KEY), renewer.keys)
    stored = ClientKey(sealed, make_csr(key), peer.roots)
    return await renewer.database.run(peers.store_next, peer, stored, renewer.actor)


async def refresh_grant(renewer: Renewer, peer: Outbound) -> Withdrawal | None:
    """Ask for the grant of an active peer, and store it; return what of it was taken back.

    Raises:
        MosaicError: what `GatewayClient` raises; `proof_invalid` if a new enrollment over there has
            revoked our certificates.
    """
    key = _open(renewer, peer.sealed_key, client_key_context(peer.id))
    async with renewer.connector.connect(peer.endpoint, *map(fingerprint_of, peer.roots)) as client:
        grant = await client.grant(key)
    return await renewer.database.run(store_grant, peer.id, peer.name, grant, renewer.actor)


def _open(renewer: Renewer, sealed: bytes | None, place: SealContext) -> PrivateKey:
    assert sealed is not None
    return load_private_key(unseal(sealed, place, renewer.keys))
