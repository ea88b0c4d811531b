"""Transaction 2 of every certificate, and the ways in which an attempt ends without one.

Rows are locked in the order of `store/ending`.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    from datetime import datetime
    from uuid import UUID

    from reconciler.core.audit.events import Event
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
    predecessor_id: IssuanceId | None = None
    actor: str = ""

    @property
    def subject(self) -> str:
        """The audit subject of all that this attempt does."""
        return f"grant/{self.grant.name}"


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
    grant, status, superseded = rows.grant, rows.grant.status, _supersede(tx, attempt, rows)
    events: list[Event] = [_issued_event(attempt, leaf, superseded)]
    if attempt.token_id is not None:
        status = enrolled_grant_status(suspended=grant.suspended)
        if status is not grant.status:
            row = grant_ref(grant.id, grant.name)
            events.append(GrantEnrolled(row, str(grant.status), str(status)))
    body = issued_text(leaf, grant, status)
    tx.last_row(
        _ISSUED,
        id=attempt.issuance_id,
        grant=grant.id,
        peer=grant.peer_id,
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
    return IssuanceResponse(body, attempt.serial)


# One statement, for rows that are locked; the audit log's lock is the last that is waited for.
_ISSUED: Final = f"""
WITH peer AS (
    UPDATE federation_peers SET status = 'active', activated_at = clock_timestamp()
    WHERE id = :peer AND status = 'pending' AND CAST(:token AS uuid) IS NOT NULL
), enrolled AS (
    UPDATE federation_grants SET status = CAST(:status AS federation_grant_status),
        activated_at = coalesce(activated_at, clock_timestamp())
    WHERE id = :grant AND CAST(:token AS uuid) IS NOT NULL
), spent AS (
    UPDATE federation_enrollment_tokens SET status = 'spent' WHERE id = CAST(:token AS uuid)
), stored AS (
    UPDATE federation_certificates SET status = 'issued', lease_until = NULL,
        cert_pem = :certificate, chain_pem = :chain, answer = :answer,
        fingerprint = :fingerprint, not_before = :not_before, not_after = :not_after,
        issued_at = clock_timestamp()
    WHERE id = :id RETURNING id
), {audit.appending("stored")}
SELECT last FROM appended
"""


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
    attempt: SigningAttempt, leaf: SignedLeaf, superseded: list[str]
) -> CertificateIssued:
    return CertificateIssued(
        grant_ref(attempt.grant.id, attempt.grant.name),
        serial=attempt.serial,
        fingerprint=leaf.facts.fingerprint,
        spki_sha256=attempt.spki_sha256,
        not_before=leaf.facts.not_before,
        not_after=leaf.facts.not_after,
        supersedes=tuple(superseded),
        renews=str(attempt.predecessor_id) if attempt.predecessor_id else None,
    )
