"""The targets of notices: where each of them is in the outbox, and which process sends to it.

A target's row is claimed with a lease, by one process at a time, and its notices are sent one after
the other: so each target gets them in order, and none waits for another target.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.backoff import Backoff
from reconciler.store.notices.retention import RETENTION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.store.db import Tx

LEASE: Final = timedelta(seconds=60)  # longer than one request may take
FIRST_AGE: Final = timedelta(minutes=15)  # of the oldest notice that a new target is sent
SEEN_EVERY: Final = timedelta(hours=1)
RETRY: Final = Backoff(timedelta(seconds=5), timedelta(minutes=10))
MAX_RETRY_AFTER: Final = timedelta(hours=1)
MAX_ERROR: Final = 500  # characters


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice that is to be sent to a target now; `lease` fences what is recorded of it."""

    target: str
    lease: uuid.UUID
    seq: int
    id: str
    document: str
    attempts: int  # earlier ones of this notice


def register(tx: Tx, name: str, kind: str, events: Sequence[str]) -> None:
    """Make a target known, or note that it still is; a new one is sent no old notices."""
    tx.run(
        "INSERT INTO federation_notice_targets AS t (name, kind, events, position)"
        " VALUES (:name, :kind, :events, coalesce((SELECT max(seq) FROM federation_notices"
        "   WHERE at < clock_timestamp() - CAST(:age AS interval)), 0))"
        " ON CONFLICT (name) DO UPDATE"
        " SET kind = :kind, events = :events, seen_at = clock_timestamp()"
        " WHERE (t.kind, t.events) IS DISTINCT FROM (:kind, CAST(:events AS text[]))"
        " OR t.seen_at < clock_timestamp() - CAST(:every AS interval)",
        name=name,
        kind=kind,
        events=list(events),
        age=FIRST_AGE,
        every=SEEN_EVERY,
    )


def claim(tx: Tx, name: str) -> Delivery | None:
    """Claim the next notice of a target, if one is due and nobody else sends to the target."""
    # SKIP LOCKED: another replica that claims at this moment is not waited for. The lease holds
    # after this transaction, so that nothing is locked while the request is under way. EXISTS: most
    # polls find nothing, and lock nothing.
    target = tx.row(
        "SELECT position, events, attempts FROM federation_notice_targets AS t WHERE name = :name"
        " AND coalesce(lease_until, '-infinity') <= clock_timestamp()"
        " AND coalesce(next_attempt_at, '-infinity') <= clock_timestamp()"
        " AND EXISTS (SELECT FROM federation_notices AS n"
        "   WHERE n.seq > t.position AND n.event = ANY(t.events))"
        " FOR NO KEY UPDATE SKIP LOCKED",
        name=name,
    )
    if target is None:
        return None
    notice = tx.row(
        "SELECT seq, id::text AS id, document,"
        " at < clock_timestamp() - CAST(:retention AS interval) AS old FROM federation_notices"
        " WHERE seq > :position AND event = ANY(:events) ORDER BY seq LIMIT 1",
        position=target["position"],
        events=target["events"],
        retention=RETENTION,
    )
    # None: another replica has just sent it; old: `expire` gives it up, and counts it
    if notice is None or notice.pop("old"):
        return None
    lease = uuid.uuid4()
    tx.run(
        "UPDATE federation_notice_targets SET lease = :lease,"
        " lease_until = clock_timestamp() + CAST(:time AS interval) WHERE name = :name",
        name=name,
        lease=lease,
        time=LEASE,
    )
    return Delivery(name, lease, attempts=target["attempts"], **notice)


def release(tx: Tx, claimed: Delivery) -> None:
    """Give a claimed notice back, unsent as far as is known."""
    _end_lease(tx, claimed)


def skip(tx: Tx, claimed: Delivery) -> None:
    """Move the target past a notice that says nothing to it."""
    _end_lease(tx, claimed, "position = greatest(position, :seq)", seq=claimed.seq)


def record_success(tx: Tx, sent: Delivery) -> None:
    """Move the target past a notice that it took."""
    _end_lease(tx, sent, f"{_PASSED}, last_success_at = clock_timestamp()", seq=sent.seq)


def record_failure(tx: Tx, sent: Delivery, error: str, wait: timedelta | None) -> None:
    """Note why a notice was not taken; it is tried again after `wait`, or once it is enabled."""
    _end_lease(
        tx,
        sent,
        f"{_FAILED}, attempts = attempts + 1,"
        " next_attempt_at = coalesce(clock_timestamp() + CAST(:wait AS interval), 'infinity')",
        error=error[:MAX_ERROR],
        wait=wait,
    )


def enable(tx: Tx, name: str) -> None:
    """Let notices be sent again to a target that was disabled."""
    tx.run(
        "UPDATE federation_notice_targets SET next_attempt_at = NULL"
        " WHERE name = :name AND next_attempt_at = 'infinity'",
        name=name,
    )


def give_up(tx: Tx, sent: Delivery, error: str) -> None:
    """Move the target past a notice that it never takes."""
    _end_lease(
        tx,
        sent,
        f"{_PASSED}, {_FAILED}, given_up = given_up + 1, given_up_at = clock_timestamp()",
        seq=sent.seq,
        error=error[:MAX_ERROR],
    )


_PASSED: Final = "attempts = 0, next_attempt_at = NULL, position = greatest(position, :seq)"
_FAILED: Final = "last_error = :error, last_error_at = clock_timestamp()"


def _end_lease(tx: Tx, delivery: Delivery, assignments: str = "", **values: object) -> None:
    """End the lease of a delivery, with what came of it, unless another process has leased it."""
    more = f", {assignments}" if assignments else ""
    tx.run(
        f"UPDATE federation_notice_targets SET lease = NULL, lease_until = NULL{more}"
        " WHERE name = :name AND lease = :lease",
        name=delivery.target,
        lease=delivery.lease,
        **values,
    )


def wait_after(attempts: int, retry_after: timedelta | None, jitter: float) -> timedelta:
    """Return how long to wait after so many failures, as the target asks but not for ever."""
    wait = RETRY.wait(attempts, jitter)
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, MAX_RETRY_AFTER))


@dataclass(frozen=True, slots=True)
class TargetState:
    """How far a target is: how many notices wait, and what came of the last ones."""

    name: str
    kind: str
    queue: int
    oldest: datetime | None
    attempts: int
    next_attempt_at: datetime | None
    disabled: bool
    last_success_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    given_up: int
    given_up_at: datetime | None


def states(tx: Tx) -> tuple[TargetState, ...]:
    """Return the state of each target that a process named in the last days, by name."""
    rows: list[dict[str, Any]] = tx.rows(
        "SELECT t.name, t.kind, count(n.seq) AS queue, min(n.at) AS oldest, t.attempts,"
        " nullif(t.next_attempt_at, 'infinity') AS next_attempt_at,"
        " coalesce(t.next_attempt_at = 'infinity', false) AS disabled, t.last_success_at,"
        " t.last_error, t.last_error_at, t.given_up, t.given_up_at"
        " FROM federation_notice_targets AS t"
        " LEFT JOIN federation_notices AS n ON n.seq > t.position AND n.event = ANY(t.events)"
        " GROUP BY t.name ORDER BY t.name"
    )
    return tuple(TargetState(**row) for row in rows)
