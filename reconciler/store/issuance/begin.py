"""Transaction 1 of every certificate: who allows it, and the intent that is stored before signing.

Enrollment and renewal differ in who allows an issuance, a token or a proof, and in nothing else.
Rows are locked in the order of `store/ending`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.certificate_events import (
    IssuanceBegun,
    IssuanceGivenUp,
)
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.issuance.policy import (
    LEASE,
    MIN_LEFT,
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
from reconciler.store import ending
from reconciler.store.audit import log as audit
from reconciler.store.db import new_id
from reconciler.store.issuance import read as facts
from reconciler.store.issuance import thefts
from reconciler.store.issuance.finish import SigningAttempt
from reconciler.store.issuance.thefts import SecretUse

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from reconciler.core.audit.events import Event
    from reconciler.core.rate_limit import GrantLimits
    from reconciler.crypto.csr import VerifiedCsr
    from reconciler.crypto.proof import VerifiedProof
    from reconciler.store.db import Tx
    from reconciler.store.issuance.read import KnownToken


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


def begin_unchanged(
    tx: Tx, known: KnownToken, csr: VerifiedCsr, caller: Caller
) -> SigningAttempt | None:
    """Transaction 1 of an enrollment in one exchange, if nothing has to be judged anew.

    That is if the token is open, and it and its grant are as they were when its secret verified.
    Else nothing is stored, and `begin_enrollment` is for it.
    """
    token, grant, now = known.token, known.grant, known.read_at
    if token.status is not TokenStatus.OPEN or not caller.limits.ca_reached:
        return None
    verdict = judge_enrollment(token, grant, csr.spki_sha256, (), now)
    if isinstance(verdict, Denial):
        return None
    caller.limits.admit_attempt(grant.id, time.monotonic())
    attempt = _new_attempt(grant, csr, now, token_id=token.id)
    begun = _begun(attempt, csr, caller.address, token=token.public_id)
    values = _values(attempt, csr, verdict, begun) | {
        "version": grant.version,
        "token_version": token.version,
        "peer_name": grant.peer,
        "min_left": MIN_LEFT,
    }
    outcome = tx.last_row(facts.LOCK_GRANT, _STORE_IF_UNCHANGED, **values)
    assert outcome is not None
    return attempt if outcome["appended"] is not None else None


def begin_enrollment(
    tx: Tx, known: KnownToken, csr: VerifiedCsr, caller: Caller
) -> SigningAttempt | Denial:
    """Transaction 1 of an enrollment: claim the token, store the intent and its serial."""
    token, grant, now = facts.locked_token(tx, known.token.id, known.grant.id)
    # an open token has no attempts: the first one claims it
    claimed = token.status is TokenStatus.CLAIMED
    intents = facts.intents_of_token(tx, token.id) if claimed else ()
    verdict = judge_enrollment(token, grant, csr.spki_sha256, intents, now)
    if isinstance(verdict, Denial):
        if verdict.void:
            ending.void_tokens(tx, [grant.id])
        use = caller.use_of(f"token/{token.public_id}", csr.spki_sha256)
        return thefts.note(tx, verdict, grant, use) if verdict.theft else verdict
    if (refusal := _admit(tx, grant, csr, caller)) is not None:
        return refusal
    attempt = _new_attempt(grant, csr, now, token_id=token.id)
    begun = _begun(attempt, csr, caller.address, token=token.public_id)
    return _store_intent(tx, attempt, csr, verdict, begun)


def begin_renewal(
    tx: Tx, proof: VerifiedProof, csr: VerifiedCsr, caller: Caller
) -> SigningAttempt | IssuanceResponse | Denial:
    """Transaction 1 of a renewal: the proof's key stands where the token stood."""
    grant_id = facts.grant_of_key(tx, proof.spki_sha256)
    if grant_id is None:
        return Denial(proof_invalid())
    grant, now = facts.locked_grant(tx, grant_id)
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
    if (refusal := _admit(tx, grant, csr, caller)) is not None:
        return refusal
    predecessor, approval = verdict
    attempt = _new_attempt(grant, csr, now, predecessor=predecessor)
    begun = _begun(attempt, csr, caller.address)
    return _store_intent(tx, attempt, csr, approval, begun)


def _admit(tx: Tx, grant: GrantFacts, csr: VerifiedCsr, caller: Caller) -> Denial | None:
    """Let an attempt in. While the CA is away few are, and so none that would not ask it."""
    if not caller.limits.ca_reached:
        owner = facts.grant_of_key(tx, csr.spki_sha256)
        if owner not in (None, grant.id):
            return _key_in_use()
    caller.limits.admit_attempt(grant.id, time.monotonic())
    return None


def _new_attempt(
    grant: GrantFacts,
    csr: VerifiedCsr,
    now: datetime,
    *,
    token_id: UUID | None = None,
    predecessor: IssuanceFacts | None = None,
) -> SigningAttempt:
    return SigningAttempt(
        issuance_id=IssuanceId(new_id(now)),
        serial=serial_from(os.urandom(SERIAL_RANDOM_BYTES)),
        grant=grant,
        not_after=grant.not_after(now),
        spki_sha256=csr.spki_sha256,
        token_id=token_id,
        predecessor=predecessor,
        actor=f"peer:{grant.peer}",
    )


def _storing(fence: str) -> str:
    """Return the statement that stores an intent, if `fence` has a row.

    Each part waits for what it reads of the parts before: the fence; the key, which is bound to one
    grant for ever; the token; the attempt that this one replaces, as only one may live; the intent;
    and the audit log, whose lock is the last. Nothing is stored if the key serves another grant,
    whose transaction was waited for, if there is no owner to be seen.
    """
    return f"""
WITH {fence}, taken AS (
    INSERT INTO federation_keys (spki_sha256, grant_id)
    SELECT CAST(:spki AS text), CAST(:grant AS uuid) FROM fence
    ON CONFLICT (spki_sha256) DO NOTHING RETURNING grant_id
), owner AS (
    SELECT grant_id FROM taken
    UNION SELECT grant_id FROM federation_keys WHERE spki_sha256 = :spki
), claimed AS (
    UPDATE federation_enrollment_tokens SET status = 'claimed', claimed_spki = :spki,
        claimed_at = coalesce(claimed_at, clock_timestamp()), unanswered = unanswered + 1
    WHERE id = CAST(:token AS uuid) AND (SELECT grant_id FROM owner) = :grant
        AND EXISTS (SELECT FROM fence)
    RETURNING id
), stale AS (
    UPDATE federation_certificates SET status = 'revoking'
    WHERE id = CAST(:stale AS uuid) AND status = 'intent'
        AND (SELECT grant_id FROM owner) = :grant
    RETURNING id
), stored AS (
    INSERT INTO federation_certificates
        (id, grant_id, token_id, predecessor_id, serial, spki_sha256, csr_pem, lease_until)
    SELECT :id, owner.grant_id, CAST(:token AS uuid), CAST(:predecessor AS uuid), :serial, :spki,
        :csr, clock_timestamp() + :lease
    FROM owner, (SELECT count(*) AS number FROM stale) AS replaced
    WHERE owner.grant_id = :grant AND replaced.number >= 0
        AND (CAST(:token AS uuid) IS NULL OR EXISTS (SELECT FROM claimed))
    RETURNING id
), {audit.appending("stored")}
SELECT (SELECT last FROM appended) AS appended,
    coalesce((SELECT grant_id FROM owner) = :grant, NOT EXISTS (SELECT FROM fence)) AS key_is_free
"""


_UNSPENT: Final = "(t.status = 'claimed' OR t.status = 'open' AND t.expires_at > clock_timestamp())"
# For rows that are locked; the expiry of a token is judged once more, before its key is bound.
_STORE: Final = _storing(
    f"""
fence AS (
    SELECT WHERE CAST(:token AS uuid) IS NULL OR EXISTS (
        SELECT FROM federation_enrollment_tokens AS t WHERE t.id = :token AND {_UNSPENT})
)"""
)
# With what `judge_enrollment` checks of rows that are read. The grant is locked by a statement
# before, so that its version is what was waited for; here the token is locked, before the key.
_STORE_IF_UNCHANGED: Final = _storing(
    f"""
fence AS (
    SELECT FROM {facts.GRANT_TABLES}
        JOIN federation_enrollment_tokens AS t ON t.grant_id = g.id
    WHERE g.id = :grant AND g.xmin::text = :version
        AND g.expires_at >= clock_timestamp() + :min_left
        AND p.name = :peer_name AND t.id = :token AND t.xmin::text = :token_version
        AND {_UNSPENT}
    FOR NO KEY UPDATE OF t
)"""
)


def _store_intent(
    tx: Tx, attempt: SigningAttempt, csr: VerifiedCsr, approval: Approval, begun: IssuanceBegun
) -> SigningAttempt | Denial:
    """Bind the key to the grant and store the intent, which is the end of the transaction."""
    outcome = tx.last_row(_STORE, **_values(attempt, csr, approval, begun))
    assert outcome is not None
    if outcome["appended"] is not None:
        return attempt
    if outcome["key_is_free"]:
        return Denial(Refused("token_expired", "the token has expired", hint="ask for a new one"))
    return _key_in_use()


def _key_in_use() -> Denial:
    return Denial(
        Refused(
            "key_in_use",
            "the CSR's key serves another grant",
            hint="make a fresh key for each grant: openssl ecparam -genkey -name prime256v1",
        )
    )


def _values(
    attempt: SigningAttempt, csr: VerifiedCsr, approval: Approval, begun: IssuanceBegun
) -> dict[str, object]:
    """Return the parameters of `_storing`."""
    stale = approval.stale
    events: list[Event] = [begun]
    if stale is not None:
        # its process ended before it could say whether the request left: revoked, to be sure
        reason = "another attempt takes its place"
        events.insert(0, IssuanceGivenUp(begun.row, stale.serial, reason, revoke=True))
    return {
        "id": attempt.issuance_id,
        "grant": attempt.grant.id,
        "token": attempt.token_id,
        "predecessor": attempt.predecessor.id if attempt.predecessor is not None else None,
        "stale": stale.id if stale is not None else None,
        "serial": attempt.serial,
        "spki": csr.spki_sha256,
        "csr": csr.pem,
        "lease": LEASE,
        **audit.parameters(attempt.actor, events),
    }


def _begun(
    attempt: SigningAttempt, csr: VerifiedCsr, peer_address: str, token: str | None = None
) -> IssuanceBegun:
    row = grant_ref(attempt.grant.id, attempt.grant.name)
    serial, renews = attempt.serial, attempt.renews
    return IssuanceBegun(row, serial, csr.spki_sha256, peer_address, token, renews)
