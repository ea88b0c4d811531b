"""What `status` shows: one snapshot of what was applied, what fails, and what ends soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.times import rfc3339
from reconciler.store.drift.repair import drifted
from reconciler.store.loop_status import passes, paused

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.store.db import Tx

ENDS_WITHIN: Final = (1, 7, 30)  # days

_APPLIED: Final = """
SELECT a.at, a.actor, a.source, a.revision, a.dirty, c.author, c.subject
FROM federation_applied AS a LEFT JOIN federation_commits AS c ON c.id = a.revision
WHERE a.at IS NOT NULL
"""
_COUNTS: Final = """
SELECT 'peers' AS what, status::text, count(*) FROM federation_peers GROUP BY status
UNION ALL SELECT 'grants', status_now::text, count(*) FROM federation_grants_now GROUP BY status_now
UNION ALL SELECT 'certificates', status::text, count(*) FROM federation_certificates GROUP BY status
ORDER BY 1, 2
"""
_LIVE: Final = """
SELECT (SELECT count(*) FROM federation_peers WHERE status <> 'revoked') AS peer,
    (SELECT count(*) FROM federation_grants_now
        WHERE status_now NOT IN ('revoked', 'expired')) AS grant,
    (SELECT count(*) FROM federation_authority WHERE holds) AS certificate
"""
_ENDING: Final = """
SELECT * FROM (
    SELECT 'grant' AS kind, name, expires_at AS ends FROM federation_grants_now
    WHERE status_now NOT IN ('revoked', 'expired')
    UNION ALL
    SELECT 'certificate of peer', name, cert_not_after FROM federation_peers
    WHERE status = 'active' AND cert_not_after IS NOT NULL
) AS ending
WHERE ends <= statement_timestamp() + make_interval(days => :days) ORDER BY ends, kind, name
"""
_HELD: Final = """
SELECT 'grant' AS kind, name, hold FROM federation_grants WHERE hold IS NOT NULL
UNION ALL SELECT 'peer', name, hold FROM federation_peers WHERE hold IS NOT NULL
ORDER BY 1, 2
"""
_UNMANAGED: Final = """
SELECT 'grant' AS kind, name FROM federation_grants_now
WHERE NOT managed AND status_now NOT IN ('revoked', 'expired')
UNION ALL SELECT 'peer', name FROM federation_peers WHERE NOT managed AND status <> 'revoked'
ORDER BY 1, 2
"""
_WAITING: Final = """
SELECT count(*) AS count, min(last_error) AS error FROM federation_certificates
WHERE status = 'revoking'
"""
_CRLS: Final = "SELECT number, this_update, next_update FROM federation_crls ORDER BY this_update"


def status(tx: Tx) -> dict[str, Any]:
    """Return the document of `status --output json`."""
    now = tx.now()
    held = paused(tx)
    waiting = tx.row(_WAITING)
    assert waiting is not None
    return {
        "now": rfc3339(now),
        "applied": _applied(tx),
        "paused": held.as_json() if held is not None else None,
        "reconcilers": [_pass(row) for row in passes(tx)],
        "drift": _drift(tx),
        "counts": _counts(tx),
        "ending": [_ending(row, now) for row in tx.rows(_ENDING, days=max(ENDS_WITHIN))],
        "held": tx.rows(_HELD),
        "notInGitYet": tx.rows(_UNMANAGED),
        "revocationsWaiting": waiting,
        "revocationLists": [
            {
                "number": row["number"],
                "thisUpdate": rfc3339(row["this_update"]),
                "nextUpdate": rfc3339(row["next_update"]),
                "late": row["next_update"] <= now,
            }
            for row in tx.rows(_CRLS)
        ],
    }


def _applied(tx: Tx) -> dict[str, Any] | None:
    row = tx.row(_APPLIED)
    return row | {"at": rfc3339(row["at"])} if row is not None else None


def _pass(row: dict[str, Any]) -> dict[str, Any]:
    failure = None
    if row["code"] is not None:
        failure = {name: row[name] for name in ("code", "message", "hint")}
        failure["since"] = rfc3339(row["failing_since"])
        failure["problems"] = row["problems"] or []
        failure["problemCount"] = row["problem_count"] or 0
    waiting = None
    if row["waits_for"] is not None:
        waiting = {"for": row["waits_for"], "until": rfc3339(row["next_at"])}
    return {
        "actor": row["actor"],
        "at": rfc3339(row["at"]),
        "source": row["source"],
        "revision": row["revision"],
        "silent": row["silent"],
        "failure": failure,
        "watch": row["watch"],
        "waiting": waiting,
    }


def _drift(tx: Tx) -> dict[str, Any]:
    count = len(drifted(tx))
    return {"count": count, "next": "mosaic federation drift" if count else None}


def live_counts(tx: Tx) -> dict[str, int]:
    """Return how many there are of each noun (`peer`, `grant`, `certificate`) that are live."""
    row = tx.row(_LIVE)
    assert row is not None
    return row


def _counts(tx: Tx) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {"peers": {}, "grants": {}, "certificates": {}}
    for row in tx.rows(_COUNTS):
        counts[row["what"]][row["status"]] = row["count"]
    return counts


def _ending(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    left_days = (row["ends"] - now).total_seconds() / 86_400
    within = next(days for days in ENDS_WITHIN if left_days <= days)
    return {
        "kind": row["kind"],
        "name": row["name"],
        "ends": rfc3339(row["ends"]),
        "withinDays": within,
    }
