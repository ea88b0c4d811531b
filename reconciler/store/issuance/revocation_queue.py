"""The queue for the CA: issuances in `revoking`, claimed by lease; and intents whose process ended.

A worker claims in one transaction, calls the CA with none open, and records the outcome in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.certificate_events import (
    CertificateRequeued,
    CertificateRevokedAtCa,
    CertificateRevokedElsewhere,
    IssuanceGivenUp,
)
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.issuance.policy import LEASE
from reconciler.core.model.backoff import Backoff
from reconciler.store.audit import log as audit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from reconciler.crypto.certificates import CrlFacts
    from reconciler.store.db import Tx

BATCH: Final = 50  # revocations claimed at once
NEWEST: Final = 10  # of them the newest, which so wait for none of thousands before them
BACKOFF: Final = Backoff(timedelta(seconds=2), timedelta(minutes=5))


@dataclass(frozen=True, slots=True)
class Due:
    """A serial (hex) that the CA has to revoke, and of which grant."""

    id: UUID
    serial: str
    grant: str
    attempts: int


def claim_revocations(tx: Tx) -> tuple[Due, ...]:
    """Lease up to `BATCH` due revocations to the caller; another worker's are passed over."""
    # The row locks end with this transaction; the lease lasts for the call to the CA that follows.
    # Rows that another worker is leasing are no part of a limit, so that it gets others. By the
    # time of the statement, here and below: no index is read up to what clock_timestamp() says.
    chosen = (
        "SELECT id FROM federation_certificates WHERE status = 'revoking'"
        " AND next_attempt_at <= statement_timestamp()"
        " AND (lease_until IS NULL OR lease_until < statement_timestamp())"
        " ORDER BY next_attempt_at"
    )
    rows = tx.rows(
        f"WITH newest AS ({chosen} DESC LIMIT :newest FOR UPDATE SKIP LOCKED),"
        f" oldest AS ({chosen} LIMIT :oldest FOR UPDATE SKIP LOCKED)"
        " UPDATE federation_certificates AS c SET lease_until = clock_timestamp() + :lease,"
        " attempts = c.attempts + 1"
        " FROM (TABLE newest UNION TABLE oldest) AS claimed, federation_grants AS g"
        " WHERE c.id = claimed.id AND g.id = c.grant_id"
        " RETURNING c.id, c.serial, g.name, c.attempts",
        lease=LEASE,
        newest=NEWEST,
        oldest=BATCH - NEWEST,
    )
    return tuple(Due(row["id"], row["serial"], row["name"], row["attempts"]) for row in rows)


def record_revoked(tx: Tx, done: Iterable[Due], actor: str) -> None:
    """End the issuances that the CA has revoked: `revoked` with a certificate, else `abandoned`."""
    ids = [each.id for each in done]
    if not ids:
        return
    rows = tx.rows(
        "UPDATE federation_certificates AS c SET lease_until = NULL, last_error = NULL,"
        " status = CASE WHEN cert_pem IS NULL THEN 'abandoned'::federation_issuance_status"
        "   ELSE 'revoked'::federation_issuance_status END,"
        " revoked_at = CASE WHEN cert_pem IS NULL THEN NULL ELSE clock_timestamp() END"
        " FROM federation_grants AS g WHERE g.id = c.grant_id AND c.id = ANY(:ids)"
        " AND c.status = 'revoking' RETURNING c.serial, g.id, g.name, c.status",
        ids=ids,
    )
    events = [
        CertificateRevokedAtCa(grant_ref(row["id"], row["name"]), row["serial"], row["status"])
        for row in sorted(rows, key=lambda row: row["serial"])
    ]
    audit.append(tx, actor, events)


def postpone(tx: Tx, due: Due, error: str) -> None:
    """Put a revocation off that the CA did not take: twice as long each time."""
    tx.run(
        "UPDATE federation_certificates SET lease_until = NULL, last_error = :error,"
        " next_attempt_at = clock_timestamp() + :wait WHERE id = :id AND status = 'revoking'",
        id=due.id,
        error=error[:200],
        wait=BACKOFF.wait(due.attempts - 1),  # the claim has counted this attempt
    )


def give_up_stale_intents(tx: Tx, actor: str) -> int:
    """Queue the intents whose lease has passed: their process ended, and they may be signed."""
    rows = tx.rows(
        "UPDATE federation_certificates AS c SET status = 'revoking',"
        " last_error = 'its process ended'"
        " FROM (SELECT id FROM federation_certificates WHERE status = 'intent'"
        "   AND lease_until < statement_timestamp() ORDER BY id LIMIT :batch"
        "   FOR UPDATE SKIP LOCKED) AS stale, federation_grants AS g"
        " WHERE c.id = stale.id AND g.id = c.grant_id RETURNING c.serial, g.id, g.name",
        batch=BATCH,
    )
    events = [
        IssuanceGivenUp(
            grant_ref(row["id"], row["name"]), row["serial"], "its process ended", revoke=True
        )
        for row in sorted(rows, key=lambda row: row["serial"])
    ]
    audit.append(tx, actor, events)
    return len(events)


def requeue_missing(tx: Tx, facts: CrlFacts, actor: str) -> tuple[str, ...]:
    """Queue the revoked serials, of certificates that have not ended, which a list lacks.

    A list that is older than the record of a revocation says nothing about it. Returns the serials.
    """
    rows = tx.rows(
        "SELECT id FROM federation_certificates WHERE status = 'revoked'"
        " AND not_after > statement_timestamp() AND revoked_at < :made"
        " AND NOT serial = ANY(:serials)",
        made=facts.this_update,
        serials=sorted(facts.serials),
    )
    if not rows:
        return ()
    events = requeue(tx, [row["id"] for row in rows], "the CA's list lacks it")
    audit.append(tx, actor, events)
    return tuple(event.serial for event in events)


def follow_list(tx: Tx, facts: CrlFacts, actor: str) -> tuple[CertificateRevokedElsewhere, ...]:
    """End the issued certificates that a list has: somebody revoked them at the CA, and not here.

    They are queued as if they had been revoked here; the CA answers that they are revoked already.
    """
    rows = tx.rows(
        "UPDATE federation_certificates AS c SET status = 'revoking',"
        " next_attempt_at = clock_timestamp()"
        " FROM federation_grants AS g WHERE g.id = c.grant_id AND c.status = 'issued'"
        " AND c.serial = ANY(:serials) RETURNING c.serial, g.id, g.name",
        serials=sorted(facts.serials),
    )
    events = tuple(
        CertificateRevokedElsewhere(grant_ref(row["id"], row["name"]), row["serial"])
        for row in sorted(rows, key=lambda row: row["serial"])
    )
    audit.append(tx, actor, events)
    return events


def requeue(tx: Tx, ids: Sequence[UUID], reason: str) -> list[CertificateRequeued]:
    """Queue issuances for the CA, though they are revoked, or issued; one event each."""
    rows = tx.rows(
        "UPDATE federation_certificates AS c SET status = 'revoking'"
        " FROM federation_grants AS g WHERE g.id = c.grant_id AND c.id = ANY(:ids)"
        " AND c.status IN ('revoked', 'issued') RETURNING c.serial, g.id, g.name",
        ids=list(ids),
    )
    return [
        CertificateRequeued(grant_ref(row["id"], row["name"]), row["serial"], reason)
        for row in sorted(rows, key=lambda row: row["serial"])
    ]
