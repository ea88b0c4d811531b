"""Transaction 2 of every certificate, and the ways in which an attempt ends without one.

Rows are locked in the order of `store/ending`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.certificate_events import (
    CertificateIssued,
    GrantEnrolled,
    IssuanceGivenUp,
)
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.issuance.contract import issued_text
from reconciler.core.issuance.policy import MAX_ISSUED, Denial, GrantFacts, IssuanceResponse
from reconciler.core.model.states import IssuanceStatus, TokenStatus, enrolled_grant_status
from reconciler.errors import Refused, Retry
from reconciler.store import ending
from reconciler.store.audit import log as audit
from reconciler.store.issuance import read as facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from reconciler.core.audit.events import Event
    from reconciler.core.issuance.policy import IssuanceFacts
    from reconciler.core.issuance.x509 import SignedLeaf
    from reconciler.core.model.ids import IssuanceId
    from reconciler.store.db import Tx


@dataclass(frozen=True, slots=True)
class SigningAttempt:
    """An issuance that has been committed as `intent`: what to ask the CA for, once."""

    issuance_id: IssuanceId
    serial: str
    grant: GrantFacts
    not_after: datetime
    spki_sha256: str
    token_id: UUID | None = None
    predecessor: IssuanceFacts | None = None
    actor: str = ""

    @property
    def subject(self) -> str:
        """The audit subject of all that this attempt does."""
        return f"grant/{self.grant.name}"

    @property
    def renews(self) -> str | None:
        """The serial that this attempt renews, None of an enrollment."""
        return self.predecessor.serial if self.predecessor is not None else None


def finish_unchanged(tx: Tx, attempt: SigningAttempt, leaf: SignedLeaf) -> IssuanceResponse | None:
    """Transaction 2 of an enrollment in one exchange, if nothing has to be judged anew.

    That is if the grant is as transaction 1 read it, and has no other live certificate. Else
    nothing is stored, and `finish` is for it.
    """
    if attempt.token_id is None:
        return None
    locks = facts.locks_of(attempt.grant)
    return _store(tx, attempt, leaf, (*locks, _ISSUED_IF_UNCHANGED))


def finish(tx: Tx, attempt: SigningAttempt, leaf: SignedLeaf) -> IssuanceResponse | Denial:
    """Transaction 2: the certificate counts from its commit on, and never without it.

    Fenced: the issuance is still `intent`, the token still claimed, the grant not ended. Else the
    certificate is not handed out, and its serial goes to the queue of revocations.
    """
    rows = facts.locked_issuance(tx, attempt.issuance_id, attempt.grant, attempt.token_id)
    refusal = _fence(rows)
    if refusal is not None:
        give_up(tx, attempt, "fenced", revoke=True)
        return refusal
    superseded = _supersede(tx, attempt, rows)
    response = _store(tx, replace(attempt, grant=rows.grant), leaf, (_ISSUED,), superseded)
    assert response is not None
    return response


def _store(
    tx: Tx,
    attempt: SigningAttempt,
    leaf: SignedLeaf,
    statements: Sequence[str],
    superseded: Sequence[str] = (),
) -> IssuanceResponse | None:
    """End the transaction by statements that store the certificate; return the answer if they do.

    Its grant is as the attempt has it.
    """
    grant, status = attempt.grant, attempt.grant.status
    events: list[Event] = [_issued_event(attempt, leaf, superseded)]
    if attempt.token_id is not None:
        status = enrolled_grant_status(suspended=grant.suspended)
        if status is not grant.status:
            row = grant_ref(grant.id, grant.name)
            events.append(GrantEnrolled(row, str(grant.status), str(status)))
    body = issued_text(leaf, grant, status)
    stored = tx.last_row(
        *statements,
        id=attempt.issuance_id,
        grant=grant.id,
        version=grant.version,
        peer=grant.peer_id,
        peer_name=grant.peer,
        token=attempt.token_id,
        status=str(status),
        certificate=leaf.certificate,
        chain="".join(leaf.chain),
        answer=body,
        fingerprint=leaf.facts.fingerprint,
        not_before=leaf.facts.not_before,
        not_after=leaf.facts.not_after,
        **audit.parameters(attempt.actor, events),
    )
    return IssuanceResponse(body, attempt.serial) if stored is not None else None


def _issued(fence: str) -> str:
    """Return the statement that stores a certificate for the issuance that `fence` lets through.

    The audit log's lock is the last that is waited for.
    """
    return f"""
WITH {fence}, peer AS (
    UPDATE federation_peers SET status = 'active', activated_at = clock_timestamp()
    WHERE id = :peer AND status = 'pending' AND CAST(:token AS uuid) IS NOT NULL
        AND EXISTS (SELECT FROM fence)
), enrolled AS (
    UPDATE federation_grants SET status = CAST(:status AS federation_grant_status),
        activated_at = coalesce(activated_at, clock_timestamp())
    WHERE id = :grant AND CAST(:token AS uuid) IS NOT NULL AND EXISTS (SELECT FROM fence)
), spent AS (
    UPDATE federation_enrollment_tokens SET status = 'spent'
    WHERE id = CAST(:token AS uuid) AND EXISTS (SELECT FROM fence)
), stored AS (
    UPDATE federation_certificates SET status = 'issued', lease_until = NULL,
        cert_pem = :certificate, chain_pem = :chain, answer = :answer,
        fingerprint = :fingerprint, not_before = :not_before, not_after = :not_after,
        issued_at = clock_timestamp()
    WHERE id = (SELECT id FROM fence) RETURNING id
), {audit.appending("stored")}
SELECT last FROM appended
"""


_ISSUED: Final = _issued("fence AS (SELECT CAST(:id AS uuid) AS id)")  # for rows that are locked
# With what `_fence` checks of rows that are read. The grant is locked by a statement before, so
# that its version and the other certificates are what was waited for; here the token is locked,
# and above the join, so after it, the issuance.
_ISSUED_IF_UNCHANGED: Final = _issued(
    f"""
token AS (
    SELECT status FROM federation_enrollment_tokens WHERE id = :token FOR NO KEY UPDATE
), fence AS (
    SELECT c.id FROM federation_grants AS g JOIN federation_peers AS p ON p.id = g.peer_id
        JOIN federation_certificates AS c ON c.grant_id = g.id CROSS JOIN token
    WHERE g.id = :grant AND g.xmin::text = :version AND g.expires_at > clock_timestamp()
        AND p.name = :peer_name AND token.status = 'claimed'
        AND c.id = :id AND c.status = 'intent' AND NOT {facts.OTHERS}
    FOR NO KEY UPDATE OF c
)"""
)


def _supersede(tx: Tx, attempt: SigningAttempt, rows: facts.LockedIssuance) -> list[str]:
    """Move what this certificate takes the place of to `revoking`; return the serials."""
    if not rows.others:
        return []
    if attempt.token_id is not None:
        moved = ending.revoke_issuances(tx, [rows.grant.id], but=attempt.issuance_id)
    else:
        moved = ending.revoke_oldest(tx, rows.grant.id, keep=MAX_ISSUED - 1)
    return moved.get(rows.grant.id, [])


def give_up(
    tx: Tx, attempt: SigningAttempt, reason: str, *, revoke: bool, counts: bool = True
) -> None:
    """End an attempt without a certificate: the token stays claimed by its key.

    `revoke` unless the request surely left no certificate behind; `counts` unless it never left.
    """
    token_id = None if counts else attempt.token_id
    if token_id is not None:
        tx.run(
            "UPDATE federation_enrollment_tokens SET unanswered = greatest(unanswered - 1, 0)"
            " WHERE id = :id",
            id=token_id,
        )
    moved = tx.run(
        "UPDATE federation_certificates SET status = CAST(:to AS federation_issuance_status),"
        " lease_until = NULL, next_attempt_at = clock_timestamp(), last_error = :reason"
        " WHERE id = :id AND status = 'intent'",
        id=attempt.issuance_id,
        to="revoking" if revoke else "abandoned",
        reason=reason[:200],
    )
    if moved:
        row = grant_ref(attempt.grant.id, attempt.grant.name)
        given_up = IssuanceGivenUp(row, attempt.serial, reason[:200], revoke)
        audit.append(tx, attempt.actor, [given_up])


def _fence(rows: facts.LockedIssuance) -> Denial | None:
    if rows.grant.status.ended:
        return Denial(Refused("grant_ended", "the grant ended while the CA signed"))
    if rows.token_status not in (None, TokenStatus.CLAIMED):
        return Denial(Refused("token_void", "the token was withdrawn while the CA signed"))
    if rows.status is not IssuanceStatus.INTENT:
        return Denial(Retry("ca_unavailable", "the CA took too long", hint="try again"))
    return None


def _issued_event(
    attempt: SigningAttempt, leaf: SignedLeaf, superseded: Sequence[str]
) -> CertificateIssued:
    return CertificateIssued(
        grant_ref(attempt.grant.id, attempt.grant.name),
        serial=attempt.serial,
        fingerprint=leaf.facts.fingerprint,
        spki_sha256=attempt.spki_sha256,
        not_before=leaf.facts.not_before,
        not_after=leaf.facts.not_after,
        supersedes=tuple(superseded),
        renews=attempt.renews,
    )
