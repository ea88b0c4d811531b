"""For whom a certificate is signed: the policy of enrollment and renewal, over plain facts.

The time is an argument, and comes from the database's clock. A decision carries its reason. What a
denial leaves behind (a suspected theft, a token that is used up) is part of it, for the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.issuance.refusals import contested, early, gone, in_progress, proof_invalid
from reconciler.core.issuance.tokens import CLAIM_LIFE, MAX_UNANSWERED
from reconciler.core.model.states import IssuanceStatus, TokenStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from reconciler.core.model.ids import GrantId, IssuanceId
    from reconciler.core.model.states import GrantStatus
    from reconciler.errors import MosaicError

# Of an attempt, and of a queued revocation; longer than a call to the CA may take.
LEASE: Final = timedelta(seconds=30)
MIN_LEFT: Final = timedelta(minutes=1)  # of a grant's life, to be worth a certificate
RENEWAL_GRACE: Final = timedelta(days=30)  # past notAfter, the old key still proves itself
MAX_ISSUED: Final = 3  # certificates of a grant; one more revokes the oldest


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """A grant as enrollment needs it; `status` as readers see it, `scope` as its canonical JSON.

    `peer_pending`: its peer has never enrolled. `version` is that of the row.
    """

    id: GrantId
    name: str
    peer: str
    peer_id: UUID
    subject_user_id: str
    scope: dict[str, Any]
    status: GrantStatus
    expires_at: datetime
    lifetime: timedelta
    suspended: bool
    peer_pending: bool = False
    version: str = ""

    def may_sign(self, now: datetime) -> bool:
        """Tell whether enough of the grant is left to sign for."""
        return not self.status.ended and self.expires_at - now >= MIN_LEFT

    def not_after(self, now: datetime) -> datetime:
        """Return when a certificate that is signed now expires, in whole seconds as in X.509."""
        return min(now + self.lifetime, self.expires_at).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """A token whose secret has been verified. `claimed_by` is the SHA-256 of the claiming key.

    `version` is that of the row.
    """

    id: UUID
    public_id: str
    status: TokenStatus
    expires_at: datetime
    claimed_by: str | None
    claimed_at: datetime | None
    unanswered: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class IssuanceFacts:
    """One issuance, as a decision needs it."""

    id: IssuanceId
    serial: str
    spki_sha256: str
    status: IssuanceStatus
    created_at: datetime
    lease_until: datetime | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    predecessor_id: IssuanceId | None = None
    answer: str | None = None

    def in_flight(self, now: datetime) -> bool:
        """Tell whether an attempt may still be waiting for the CA."""
        leased = self.lease_until is not None and self.lease_until > now
        return self.status is IssuanceStatus.INTENT and leased


@dataclass(frozen=True, slots=True)
class Approval:
    """Sign, after `stale` (an intent that no process waits for any more) has been given up."""

    stale: IssuanceFacts | None = None


@dataclass(frozen=True, slots=True)
class IssuanceResponse:
    """The stored answer to an enrollment, a renewal or a pickup: the same bytes each time."""

    body: str
    serial: str


@dataclass(frozen=True, slots=True)
class Denial:
    """Do not sign, and why.

    `theft`: the right secret or proof came with another key; `void`: the token has had its chances.
    `warning` is what the log says of it, where that is more than the error.
    """

    error: MosaicError
    theft: bool = False
    void: bool = False
    warning: str = ""


def judge_enrollment(
    token: TokenFacts,
    grant: GrantFacts,
    spki_sha256: str,
    intents: Sequence[IssuanceFacts],
    now: datetime,
) -> Approval | Denial:
    """Decide on a token with a verified secret and the key of a CSR; `intents` are the token's.

    The claiming key may go on for `CLAIM_LIFE` and `MAX_UNANSWERED` issuances, however long ago
    the token expired; no other key can.
    """
    theft = token.claimed_by is not None and token.claimed_by != spki_sha256
    refusal = _token_refusal(token, grant, now)
    if refusal is not None:
        return Denial(refusal, theft=theft)
    if theft:
        return Denial(gone("token_claimed", "another key has claimed the token"), theft=True)
    if any(each.in_flight(now) for each in intents):
        return Denial(in_progress(intents[0].lease_until, now))
    if token.status is TokenStatus.CLAIMED and _claim_is_over(token, now):
        return Denial(gone("token_void", "the claim has ended without a certificate"), void=True)
    return Approval(stale=intents[0] if intents else None)


def judge_status(token: TokenFacts, grant: GrantFacts, now: datetime) -> MosaicError | None:
    """Return what an enrollment with a fresh key would be refused for, or None; claims nothing."""
    refusal = _token_refusal(token, grant, now)
    if refusal is None and token.status is TokenStatus.CLAIMED and _claim_is_over(token, now):
        return gone("token_void", "the claim has ended without a certificate")
    return refusal


def judge_pickup(
    grant: GrantFacts, issuances: Sequence[IssuanceFacts], now: datetime
) -> IssuanceResponse | Denial:
    """Decide on a proof by the key of `issuances`, newest first; all are the grant's."""
    if grant.status.ended:
        return Denial(gone("grant_ended", "the grant has ended"))
    for each in issuances:
        if each.status is IssuanceStatus.ISSUED and each.answer is not None:
            return IssuanceResponse(each.answer, each.serial)
        if each.in_flight(now):
            return Denial(in_progress(each.lease_until, now))
    return Denial(proof_invalid())


def judge_renewal(
    grant: GrantFacts,
    proof_spki: str,
    csr_spki: str,
    issuances: Sequence[IssuanceFacts],
    now: datetime,
) -> tuple[IssuanceFacts, Approval] | IssuanceResponse | Denial:
    """Decide on a renewal by a proof's key, which is the grant's.

    `issuances` are those of the grant that are issued or intended, newest first. Returns the
    predecessor with `Approval`; the answer given before, if the same new key asks again; or a
    denial. One certificate has at most one successor, and none before two thirds of its life. An
    answer that was lost, and whose certificate has expired since, is no use: it renews in its turn.
    """
    if not grant.may_sign(now):
        return Denial(gone("grant_ended", "the grant has ended, or ends within a minute"))
    issued = [each for each in issuances if each.status is IssuanceStatus.ISSUED]
    current = next((each for each in issued if each.spki_sha256 == proof_spki), None)
    if current is None:
        return Denial(proof_invalid(), theft=True)
    while (successor := _successor_of(current, issued)) is not None:
        if successor.spki_sha256 != csr_spki or successor.answer is None:
            return Denial(contested(), theft=True)
        if successor.not_after is None or now < successor.not_after:
            return IssuanceResponse(successor.answer, successor.serial)
        current = successor
    if current is not issued[0]:
        return Denial(proof_invalid(), theft=True)
    assert current.not_before is not None
    assert current.not_after is not None
    due = renew_after(current.not_before, current.not_after)
    if now < due:
        if csr_spki == current.spki_sha256 and current.answer is not None:
            return IssuanceResponse(current.answer, current.serial)
        return Denial(early(due, now))
    if now > current.not_after + RENEWAL_GRACE:
        return Denial(proof_invalid())
    return _beside_intents(current, csr_spki, issuances, now)


def _successor_of(current: IssuanceFacts, issued: Sequence[IssuanceFacts]) -> IssuanceFacts | None:
    return next((each for each in issued if each.predecessor_id == current.id), None)


def _beside_intents(
    current: IssuanceFacts, csr_spki: str, issuances: Sequence[IssuanceFacts], now: datetime
) -> tuple[IssuanceFacts, Approval] | Denial:
    successors = [each for each in issuances if each.predecessor_id == current.id]
    intents = [each for each in successors if each.status is IssuanceStatus.INTENT]
    waiting = next((each for each in intents if each.in_flight(now)), None)
    if waiting is None:
        return current, Approval(stale=intents[0] if intents else None)
    if waiting.spki_sha256 != csr_spki:
        return Denial(contested(), theft=True)
    return Denial(in_progress(waiting.lease_until, now))


def renew_after(not_before: datetime, not_after: datetime) -> datetime:
    """Return when a certificate should be renewed: at two thirds of its life, in whole seconds."""
    return (not_before + (not_after - not_before) * 2 / 3).replace(microsecond=0)


def _token_refusal(token: TokenFacts, grant: GrantFacts, now: datetime) -> MosaicError | None:
    if token.status is TokenStatus.SPENT:
        return gone("token_spent", "the token has been used")
    if not grant.may_sign(now):
        return gone("grant_ended", "the grant has ended, or ends within a minute")
    if token.status is TokenStatus.VOID:
        return gone("token_void", "the token was withdrawn, or a newer one took its place")
    if token.status is TokenStatus.OPEN and token.expires_at <= now:
        return gone("token_expired", "the token has expired")
    return None


def _claim_is_over(token: TokenFacts, now: datetime) -> bool:
    assert token.claimed_at is not None
    return token.unanswered >= MAX_UNANSWERED or now >= token.claimed_at + CLAIM_LIFE
