"""Transaction 1 of every certificate: who allows it, and the intent that is stored before signing.

Enrollment and renewal differ in who allows an issuance, a token or a proof, and in nothing else.
Rows are locked in the order peer, grant, token, issuance, audit head (DESIGN 5).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.audit.certificate_events import (
    IssuanceBegun,
    IssuanceGivenUp,
)
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.issuance.policy import (
    LEASE,
    Approval,
    Denial,
    GrantFacts,
    IssuanceFacts,
    IssuanceResponse,
    judge_enrollment,
    judge_renewal,
)
from reconciler.core.issuance.refusals import proof_invalid
from reconciler.core.model.ids import (
    SERIAL_RANDOM_BYTES,
    IssuanceId,
    serial_from,
)
from reconciler.core.model.states import TokenStatus
from reconciler.errors import Refused
from reconciler.log import bind
from reconciler.store import ending
from reconciler.store.audit import log as audit
from reconciler.store.ids import new_id
from reconciler.store.issuance import read as facts
from reconciler.store.issuance import thefts
from reconciler.store.issuance.finish import SigningAttempt
from reconciler.store.issuance.thefts import SecretUse

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from reconciler.core.grant_limits import GrantLimits
    from reconciler.crypto.csr import VerifiedCsr
    from reconciler.crypto.proof import VerifiedProof
    from reconciler.store.db import Tx
    from reconciler.store.issuance.tokens import KnownToken


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for a certificate: from where, within which limits.

    `suspend_on_theft`: a theft signal suspends its grant.
    """

    address: str
    limits: GrantLimits
    suspend_on_theft: bool = False

    def use_of(self, secret: str, spki_sha256: str) -> SecretUse:
        """Return the use of a secret with a key, which is not its own."""
        return SecretUse(secret, spki_sha256, self.address, self.suspend_on_theft)


def begin_enrollment(
    tx: Tx, known: KnownToken, csr: VerifiedCsr, caller: Caller
) -> SigningAttempt | Denial:
    """Transaction 1 of an enrollment: claim the token, store the intent and its serial."""
    # the grant before the token, as everywhere: two enrollments at once would else deadlock
    grant = facts.grant_facts(tx, known.grant_id, lock=True)
    bind(peer=grant.peer, grant=grant.name)
    token = facts.token_facts(tx, known.token_id, lock=True)
    now = tx.now()
    intents = facts.intents_of_token(tx, token.id)
    verdict = judge_enrollment(token, grant, csr.spki_sha256, intents, now)
    if isinstance(verdict, Denial):
        if verdict.void:
            ending.void_tokens(tx, [grant.id])
        use = caller.use_of(f"token/{token.public_id}", csr.spki_sha256)
        return thefts.note(tx, verdict, grant, use) if verdict.theft else verdict
    caller.limits.admit_attempt(grant.id, time.monotonic())
    if (in_use := _take_key(tx, grant, csr.spki_sha256)) is not None:
        return in_use
    if token.status is TokenStatus.OPEN:
        claimed = tx.run(
            "UPDATE federation_enrollment_tokens SET status = 'claimed', claimed_spki = :spki,"
            " claimed_at = clock_timestamp()"
            " WHERE id = :id AND status = 'open' AND expires_at > clock_timestamp()",
            id=token.id,
            spki=csr.spki_sha256,
        )
        if claimed != 1:  # it expired between the judgement and here
            gone = Refused("token_expired", "the token has expired", hint="ask for a new one")
            return Denial(gone)
    tx.run(
        "UPDATE federation_enrollment_tokens SET unanswered = unanswered + 1 WHERE id = :id",
        id=token.id,
    )
    attempt = _new_attempt(grant, csr, now, token_id=token.id, actor=f"peer:{grant.peer}")
    begun = _begun(attempt, csr, caller.address, token=token.public_id)
    return _store_intent(tx, attempt, csr, verdict, begun)


def begin_renewal(
    tx: Tx, proof: VerifiedProof, csr: VerifiedCsr, caller: Caller
) -> SigningAttempt | IssuanceResponse | Denial:
    """Transaction 1 of a renewal: the proof's key stands where the token stood."""
    grant_id = facts.grant_of_key(tx, proof.spki_sha256)
    if grant_id is None:
        return Denial(proof_invalid())
    grant = facts.grant_facts(tx, grant_id, lock=True)
    bind(peer=grant.peer, grant=grant.name)
    now = tx.now()
    issuances = facts.live_issuances(tx, grant_id, answers_of=csr.spki_sha256)
    verdict = judge_renewal(grant, proof.spki_sha256, csr.spki_sha256, issuances, now)
    if isinstance(verdict, IssuanceResponse):
        return verdict
    if isinstance(verdict, Denial):
        serial = facts.newest_serial_of_key(tx, proof.spki_sha256) if verdict.theft else None
        if serial is None:
            return verdict
        use = caller.use_of(f"certificate/{serial}", proof.spki_sha256)
        return thefts.note(tx, verdict, grant, use)
    caller.limits.admit_attempt(grant.id, time.monotonic())
    if (in_use := _take_key(tx, grant, csr.spki_sha256)) is not None:
        return in_use
    predecessor, approval = verdict
    attempt = _new_attempt(
        grant, csr, now, predecessor_id=predecessor.id, actor=f"peer:{grant.peer}"
    )
    begun = _begun(attempt, csr, caller.address, renews=predecessor.serial)
    return _store_intent(tx, attempt, csr, approval, begun)


def _new_attempt(
    grant: GrantFacts,
    csr: VerifiedCsr,
    now: datetime,
    *,
    actor: str,
    token_id: UUID | None = None,
    predecessor_id: IssuanceId | None = None,
) -> SigningAttempt:
    return SigningAttempt(
        issuance_id=IssuanceId(new_id(now)),
        serial=serial_from(os.urandom(SERIAL_RANDOM_BYTES)),
        grant=grant,
        not_after=grant.not_after(now),
        spki_sha256=csr.spki_sha256,
        token_id=token_id,
        predecessor_id=predecessor_id,
        actor=actor,
    )


def _take_key(tx: Tx, grant: GrantFacts, spki_sha256: str) -> Denial | None:
    """Bind a key to the grant for ever; refuse one that serves another grant."""
    # insert first, then read: of two grants that take a key at once, both read the same winner
    tx.run(
        "INSERT INTO federation_keys (spki_sha256, grant_id) VALUES (:spki, :grant)"
        " ON CONFLICT (spki_sha256) DO NOTHING",
        spki=spki_sha256,
        grant=grant.id,
    )
    if facts.grant_of_key(tx, spki_sha256) == grant.id:
        return None
    return Denial(
        Refused(
            "key_in_use",
            "the CSR's key serves another grant",
            hint="make a fresh key for each grant: openssl ecparam -genkey -name prime256v1",
        )
    )


def _store_intent(
    tx: Tx, attempt: SigningAttempt, csr: VerifiedCsr, approval: Approval, begun: IssuanceBegun
) -> SigningAttempt:
    events: list[IssuanceGivenUp | IssuanceBegun] = []
    if approval.stale is not None:
        events.append(_abandon_stale(tx, attempt, approval.stale))
    tx.run(
        "INSERT INTO federation_certificates"
        " (id, grant_id, token_id, predecessor_id, serial, spki_sha256, csr_pem, lease_until)"
        " VALUES (:id, :grant, :token, :predecessor, :serial, :spki, :csr,"
        " clock_timestamp() + :lease)",
        id=attempt.issuance_id,
        grant=attempt.grant.id,
        token=attempt.token_id,
        predecessor=attempt.predecessor_id,
        serial=attempt.serial,
        spki=csr.spki_sha256,
        csr=csr.pem,
        lease=LEASE,
    )
    events.append(begun)
    audit.append(tx, attempt.actor, events)
    return attempt


def _begun(
    attempt: SigningAttempt,
    csr: VerifiedCsr,
    peer_address: str,
    *,
    token: str | None = None,
    renews: str | None = None,
) -> IssuanceBegun:
    row = grant_ref(attempt.grant.id, attempt.grant.name)
    return IssuanceBegun(row, attempt.serial, csr.spki_sha256, peer_address, token, renews)


def _abandon_stale(tx: Tx, attempt: SigningAttempt, stale: IssuanceFacts) -> IssuanceGivenUp:
    # its process ended before it could say whether the request left: revoked, to be sure
    tx.run(
        "UPDATE federation_certificates SET status = 'revoking'"
        " WHERE id = :id AND status = 'intent'",
        id=stale.id,
    )
    row = grant_ref(attempt.grant.id, attempt.grant.name)
    return IssuanceGivenUp(row, stale.serial, "another attempt takes its place", revoke=True)
