"""What only the clock or a look at the rows tells: ends that come near, a long pause, drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.times import parse_rfc3339, rfc3339
from reconciler.core.notices.model import MAX_FIELDS, NoticeEvent
from reconciler.core.notices.wording import PAUSE_AGE, days_left
from reconciler.store.notices import conditions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from reconciler.core.audit.events import Event
    from reconciler.core.drift.model import Drift
    from reconciler.store.db import Tx

WATCH_LOCK: Final = 0x6D6F73_777463  # "moswtc", of pg_try_advisory_xact_lock

# the grants that we gave, and those that other gateways gave us
_ENDS: Final = """
SELECT 'grant/' || id AS key, 'grant/' || name AS subject, expires_at,
    status_now NOT IN ('revoked', 'expired') AS live
FROM federation_grants_now
WHERE (status_now NOT IN ('revoked', 'expired')
        AND expires_at <= clock_timestamp() + interval '30 days')
    OR 'grant/' || id = ANY(:known)
UNION ALL
SELECT 'peer/' || id, 'peer/' || name, CAST(remote_grant ->> 'expiresAt' AS timestamptz),
    status = 'active'
        AND CAST(remote_grant ->> 'expiresAt' AS timestamptz) > clock_timestamp()
FROM federation_peers WHERE direction = 'outbound' AND remote_grant IS NOT NULL
    AND ((status = 'active' AND CAST(remote_grant ->> 'expiresAt' AS timestamptz)
            <= clock_timestamp() + interval '30 days')
        OR 'peer/' || id = ANY(:known))
"""


def watch_ends(tx: Tx) -> list[Event]:
    """Return the events of grants that come near their ends, at 30, 7 and 1 days, or move away.

    One that has ended is forgotten: its own event tells that.
    """
    known = conditions.open_conditions(tx, NoticeEvent.ENDING)
    now = tx.now()
    nearer: dict[str, Any] = {}
    later: dict[str, Any] = {}
    gone = set(known)
    for row in tx.rows(_ENDS, known=list(known)):
        key = row["key"]
        if not row["live"]:
            continue
        gone.discard(key)
        facts = _end_facts(row, now)
        before = known.get(key, {}).get("within")
        if facts["within"] is None or (before is not None and facts["within"] > before):
            later[key] = facts
        elif before is None or facts["within"] < before:
            nearer[key] = facts
    if gone:
        conditions.forget(tx, NoticeEvent.ENDING, sorted(gone))
    events: list[Event] = []
    if later:
        events += conditions.end(tx, NoticeEvent.ENDING, sorted(later), later)
        still = {key: facts for key, facts in later.items() if facts["within"] is not None}
        conditions.begin(tx, NoticeEvent.ENDING, still)  # known, and nobody is told
    if nearer:
        again = sorted(nearer.keys() & known.keys())
        conditions.forget(tx, NoticeEvent.ENDING, again)
        events += conditions.begin(tx, NoticeEvent.ENDING, nearer)
    return events


def _end_facts(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    expires_at: datetime = row["expires_at"]
    return {
        "subject": row["subject"],
        "expiresAt": rfc3339(expires_at),
        "within": days_left(expires_at, now),
    }


def watch_pause(tx: Tx) -> list[Event]:
    """Return the event of a pause that has become a day old, or of one that is over unseen."""
    row = tx.row("SELECT paused FROM federation_applied WHERE paused IS NOT NULL")
    if row is None:
        return list(conditions.end(tx, NoticeEvent.PAUSE))
    pause = row["paused"]
    if parse_rfc3339(pause["at"]) > tx.now() - PAUSE_AGE:
        return []
    facts = {"subject": "reconciler"} | pause
    return list(conditions.begin(tx, NoticeEvent.PAUSE, {"pause": facts}))


def watch_drift(tx: Tx, drifts: Sequence[Drift]) -> list[Event]:
    """Return the events of drift that is new, and of drift that is repaired."""
    now = {each.key: _drift_facts(each) for each in drifts}
    repaired = conditions.open_conditions(tx, NoticeEvent.DRIFT).keys() - now.keys()
    events: list[Event] = []
    if repaired:
        events += conditions.end(tx, NoticeEvent.DRIFT, sorted(repaired))
    if now:
        events += conditions.begin(tx, NoticeEvent.DRIFT, now)
    return events


def _drift_facts(drift: Drift) -> dict[str, Any]:
    return {
        "subject": drift.identity,
        "what": str(drift.kind),
        "fields": [each.as_json() for each in drift.fields[:MAX_FIELDS]],
        "by": drift.changed_by.role if drift.changed_by is not None else None,
    }


def only_watcher(tx: Tx) -> bool:
    """Tell whether this transaction alone watches until it ends; else another replica does now."""
    return bool(tx.one("SELECT pg_try_advisory_xact_lock(:key) AS alone", key=WATCH_LOCK)["alone"])


@dataclass(frozen=True, slots=True)
class DriftMarks:
    """What differs where there may be other drift than at the last look.

    `head` matters only while something has drifted. A look reads the marks of all rows;
    this costs nothing.
    """

    has_target: bool
    changes: int
    drifted: int
    head: int


def drift_marks(tx: Tx) -> DriftMarks:
    """Return the marks as they are now."""
    row = tx.one(
        "SELECT EXISTS (SELECT FROM federation_notice_targets) AS has_target,"
        " coalesce((SELECT max(id) FROM federation_hand_changes), 0) AS changes,"
        " (SELECT count(*) FROM federation_conditions WHERE condition = :drift) AS drifted,"
        " (SELECT seq FROM federation_audit_head) AS head",
        drift=str(NoticeEvent.DRIFT),
    )
    return DriftMarks(**row)
