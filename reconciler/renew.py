"""Renewal: a certificate of another gateway is replaced before it expires, without a token.

    (1) at two thirds of its life, or later, a certificate is due, until 30 days past its end
    (2) make the next key; seal it and store it with its CSR; commit, and only then ask
    (3) over a connection that trusts the stored roots alone, ask by a proof of the current key:
        the same CSR gets the same answer, so a lost one costs nothing
    (4) check what came as at enrollment, and that it ends later than what it replaces
    (5) store it, with its key, in the place of the old one

A renewal that was interrupted goes on with the stored key: the CSR is the same, and so is the
answer. `refresh_grant` asks what has become of the grant, so that `peer show` says it.
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
from reconciler.errors import Refused
from reconciler.store.outbound import peers
from reconciler.store.outbound.peers import NEXT_KEY, ClientKey, client_key_context
from reconciler.store.outbound.remote_grant import store_grant

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.clients.gateway.client import Connector
    from reconciler.core.issuance.withdrawal import Withdrawal
    from reconciler.crypto.seal import KeyWrapper
    from reconciler.store.async_database import AsyncDatabase
    from reconciler.store.outbound.peers import HeldCertificate, Outbound

GRACE: Final = timedelta(days=30)  # how long past its end a certificate renews


@dataclass(frozen=True, slots=True)
class Renewer:
    """What renewing needs on this side."""

    database: AsyncDatabase
    keys: KeyWrapper = field(repr=False)
    connector: Connector
    actor: str


def is_due(certificate: HeldCertificate, now: datetime) -> bool:
    """Tell whether a certificate should be renewed, and still can be."""
    due = renew_after(certificate.not_before, certificate.not_after)
    return due <= now < certificate.not_after + GRACE


async def renew(renewer: Renewer, held: Outbound) -> str:
    """Renew the certificate of an active peer; return the new one's serial.

    Raises:
        MosaicError: `grant_ended`; `peer_wrong_answer` for a certificate that is not the one asked
            for, or ends earlier than ours; what `GatewayClient` raises.
    """
    assert held.sealed_key is not None
    assert held.certificate is not None
    ends = held.certificate.not_after
    current = load_private_key(unseal(held.sealed_key, client_key_context(held.id), renewer.keys))
    if held.next_sealed_key is None:
        held = await _store_next(renewer, held)  # (2)
    assert held.next_sealed_key is not None
    assert held.next_csr_pem is not None
    sealed_for = client_key_context(held.id, NEXT_KEY)
    following = load_private_key(unseal(held.next_sealed_key, sealed_for, renewer.keys))
    pin = fingerprint_of(held.roots[0])
    async with renewer.connector.connect(held.endpoint, pin) as client:
        issued = await client.renew(current, held.next_csr_pem)  # (3)
        spki = spki_sha256(following.public_key())
        leaf = verify_client_certificate(
            issued, spki, client.roots, renewer.connector.clock(), renewer.connector.oid_arc
        )  # (4)
        if leaf.facts.not_after < ends:
            raise Refused(
                "peer_wrong_answer",
                "the new certificate ends before the one that it would replace",
                hint="ask the grantor: the grant may end soon",
            )
        sealed = seal(private_key_pem(following), client_key_context(held.id), renewer.keys)
        key = ClientKey(sealed, held.next_csr_pem, client.roots)
        await renewer.database.run(  # (5)
            peers.store_renewal, held, key, leaf, issued.grant, renewer.actor
        )
    return leaf.facts.serial


async def _store_next(renewer: Renewer, held: Outbound) -> Outbound:
    key = generate_key()
    sealed = seal(private_key_pem(key), client_key_context(held.id, NEXT_KEY), renewer.keys)
    stored = ClientKey(sealed, make_csr(key), held.roots)
    return await renewer.database.run(peers.store_next, held, stored, renewer.actor)


async def refresh_grant(renewer: Renewer, held: Outbound) -> Withdrawal | None:
    """Ask for the grant of an active peer, and store it; return what of it was taken back.

    Raises:
        MosaicError: what `GatewayClient` raises; `proof_invalid` if a new enrollment over there has
            revoked our certificates.
    """
    assert held.sealed_key is not None
    key = load_private_key(unseal(held.sealed_key, client_key_context(held.id), renewer.keys))
    async with renewer.connector.connect(held.endpoint, fingerprint_of(held.roots[0])) as client:
        grant = await client.grant(key)
    return await renewer.database.run(store_grant, held.id, held.name, grant, renewer.actor)
