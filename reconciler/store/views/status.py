"""What `status` shows: one snapshot of what was applied, what fails, and what ends soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model import status_document as documents
from reconciler.core.model.json_document import json_value
from reconciler.store.apply.observe import hold_from
from reconciler.store.backup.database_identity import unconfirmed
from reconciler.store.drift.repair import drifted
from reconciler.store.loop_status import passes, paused
from reconciler.store.notices.retention import RETENTION
from reconciler.store.notices.targets import states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.drift.model import Drift
    from reconciler.store.db import Tx

_APPLIED: Final = """
SELECT a.at, a.actor, a.source, a.source_revision AS revision, a.dirty, c.author, c.subject
FROM federation_applied AS a LEFT JOIN federation_commits AS c ON c.id = a.source_revision
WHERE a.at IS NOT NULL
"""
_OVERRIDDEN: Final = "SELECT overridden FROM federation_applied WHERE overridden IS NOT NULL"
_RESTORED: Final = """
SELECT federation_restored() AS state, restored ->> 'by' AS by, restored ->> 'at' AS at
FROM federation_control
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
_THEFT_SIGNALS: Final = """
SELECT t.seq, g.name AS grant, t.secret, t.code, t.address, t.first_at, t.last_at, t.repeats
FROM federation_theft_signals AS t JOIN federation_grants AS g ON g.id = t.grant_id
WHERE t.acknowledged_at IS NULL ORDER BY t.first_at, t.id
"""
_UNMANAGED: Final = """
SELECT 'grant' AS kind, name FROM federation_grants_now
WHERE NOT managed AND status_now NOT IN ('revoked', 'expired')
UNION ALL SELECT 'peer', name FROM federation_peers WHERE NOT managed AND status <> 'revoked'
ORDER BY 1, 2
"""
_UNUSED: Final = """
SELECT g.name, g.activated_at, max(u.last_at) AS last_use
FROM federation_grants_now AS g
LEFT JOIN federation_certificates AS c ON c.grant_id = g.id
LEFT JOIN federation_certificate_use AS u ON u.certificate_id = c.id
WHERE g.status_now = 'active'
GROUP BY g.id, g.name, g.activated_at
HAVING coalesce(max(u.last_at), g.activated_at)
    <= statement_timestamp() - make_interval(days => :days)
ORDER BY coalesce(max(u.last_at), g.activated_at), g.name
"""
_OUTBOUND: Final = """
SELECT name AS peer, withdrawn, credential_error FROM federation_peers
WHERE status = 'active' AND (withdrawn IS NOT NULL OR credential_error IS NOT NULL)
ORDER BY name
"""
_WAITING: Final = """
SELECT count(*) AS count, min(last_error) AS error FROM federation_certificates
WHERE status = 'revoking'
"""
_CRLS: Final = "SELECT number, this_update, next_update FROM federation_crls ORDER BY this_update"


def status(
    tx: Tx, find_drift: Callable[[Tx], tuple[Drift, ...]] = drifted
) -> documents.GatewayStatus:
    """Return the state of the gateway."""
    waiting = tx.one(_WAITING)
    row, override = tx.row(_APPLIED), tx.row(_OVERRIDDEN)
    return documents.GatewayStatus(
        now=tx.now(),
        applied=documents.LastApply(**row) if row is not None else None,
        trust_override=documents.TrustOverride(**override["overridden"])
        if override is not None
        else None,
        restore=pending_restore(tx),
        paused=json_value(paused(tx)),
        reconcilers=reconcilers(tx),
        drift_count=len(find_drift(tx)),
        counts=_counts(tx),
        ending=tuple(
            documents.NamedObject(**each)
            for each in tx.rows(_ENDING, days=max(documents.ENDS_WITHIN))
        ),
        held=tuple(
            documents.NamedObject(each["kind"], each["name"], hold_from(each["hold"]))
            for each in tx.rows(_HELD)
        ),
        theft_signals=theft_signals(tx),
        not_in_git=tuple(documents.NamedObject(**each) for each in tx.rows(_UNMANAGED)),
        unused=tuple(
            documents.UnusedGrant(**each) for each in tx.rows(_UNUSED, days=documents.UNUSED_FOR)
        ),
        outbound=tuple(documents.OutboundTrouble(**each) for each in tx.rows(_OUTBOUND)),
        notices=tuple(_notice_troubles(tx)),
        revocations_waiting=waiting,
        revocation_lists=tuple(documents.RevocationList(**each) for each in tx.rows(_CRLS)),
    )


def pending_restore(tx: Tx) -> dict[str, str | None] | None:
    """Return the document of a restore that nobody has confirmed: until then nothing is served.

    Of a database that was replaced, nobody knows by whom and when.
    """
    row = tx.row(_RESTORED)
    if row is None or row["state"] is None:
        return None
    error = unconfirmed(row["state"])
    return row | {"message": error.message, "next": error.hint}


def reconcilers(tx: Tx) -> tuple[documents.ReconcilerStatus, ...]:
    """Return the last pass of each reconciler, the newest first."""
    return tuple(_reconciler(each) for each in passes(tx))


def _notice_troubles(tx: Tx) -> Iterator[documents.NoticeTrouble]:
    """Yield the targets that do not take notices, and those that lost some in the last days."""
    since = tx.now() - RETENTION
    for each in states(tx):
        lost = each.given_up if each.given_up_at is not None and each.given_up_at > since else 0
        if each.attempts or lost:
            failing = each.attempts > 0
            yield documents.NoticeTrouble(
                each.name, each.queue, each.last_error, each.last_error_at, failing, lost
            )


def theft_signals(tx: Tx) -> tuple[documents.TheftSignal, ...]:
    """Return the theft signals that nobody has acknowledged, the oldest first."""
    return tuple(documents.TheftSignal(**each) for each in tx.rows(_THEFT_SIGNALS))


def _reconciler(row: dict[str, Any]) -> documents.ReconcilerStatus:
    failure = None
    if row["code"] is not None:
        failure = documents.PassFailure(
            code=row["code"],
            message=row["message"],
            hint=row["hint"],
            since=row["failing_since"],
            problems=row["problems"] or [],
            problem_count=row["problem_count"] or 0,
        )
    return documents.ReconcilerStatus(
        actor=row["actor"],
        at=row["at"],
        source=row["source"],
        revision=row["revision"],
        silent=row["silent"],
        failure=failure,
        watch=row["watch"],
        waits_for=row["waits_for"],
        next_at=row["next_at"],
    )


def live_counts(tx: Tx) -> dict[str, int]:
    """Return how many there are of each noun (`peer`, `grant`, `certificate`) that are live."""
    return tx.one(_LIVE)


def _counts(tx: Tx) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {"peers": {}, "grants": {}, "certificates": {}}
    for row in tx.rows(_COUNTS):
        counts[row["what"]][row["status"]] = row["count"]
    return counts
