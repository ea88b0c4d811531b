"""What has begun and is not over, in rows: it is told once, whoever notices it and after any crash.

Failures of passes and of applies, and pending commits, are conditions too. Each function returns
the events of what it changed, for the caller to append: the rows of this table are locked before
the audit head, which is locked last.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.events import ConditionBegun, ConditionEnded
from reconciler.core.model.times import rfc3339
from reconciler.core.notices.model import NoticeEvent
from reconciler.errors import InvalidManifests, Refused
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from reconciler.core.audit.event_base import Json
    from reconciler.core.model.commits import Commit
    from reconciler.errors import MosaicError
    from reconciler.store.db import Tx


MAX_RECORDED: Final = 100  # items in one audit record; the others are counted


def open_conditions(
    tx: Tx, condition: NoticeEvent, before: datetime | None = None
) -> dict[str, dict[str, Any]]:
    """Return the facts of what has begun, by key; only what began `before` a time, if given."""
    rows = tx.rows(
        "SELECT key, facts FROM federation_conditions WHERE condition = :condition"
        " AND (CAST(:before AS timestamptz) IS NULL OR begun_at < :before)",
        condition=str(condition),
        before=before,
    )
    return {row["key"]: row["facts"] for row in rows}


def begin(tx: Tx, condition: NoticeEvent, items: Mapping[str, Json]) -> list[ConditionBegun]:
    """Let conditions begin, by key; return the event of those that had not begun.

    Nothing begins while there is no target: it is told once there is one, if it lasts.
    """
    # ON CONFLICT waits for another replica that has just noticed the same, and then does nothing.
    rows = tx.rows(
        "INSERT INTO federation_conditions (condition, key, facts)"
        " SELECT :condition, key, value FROM jsonb_each(CAST(:items AS jsonb))"
        " WHERE EXISTS (SELECT FROM federation_notice_targets) ORDER BY key"
        " ON CONFLICT DO NOTHING RETURNING key, facts",
        condition=str(condition),
        items=as_json(items),
    )
    if not rows:
        return []
    facts = [row["facts"] for row in sorted(rows, key=lambda row: str(row["key"]))]
    return [ConditionBegun(str(condition), len(facts), tuple(facts[:MAX_RECORDED]), _of(facts))]


def end(
    tx: Tx,
    condition: NoticeEvent,
    keys: Sequence[str] | None = None,
    now_true: Mapping[str, Json] | None = None,
) -> list[ConditionEnded]:
    """End conditions, all of them without `keys`; return the event of those that had begun.

    `now_true` are facts that are told with them, by key.
    """
    later = now_true or {}
    facts = [
        row["facts"] | {"since": rfc3339(row["begun_at"])} | later.get(row["key"], {})
        for row in _remove(tx, condition, keys)
    ]
    if not facts:
        return []
    return [ConditionEnded(str(condition), len(facts), tuple(facts[:MAX_RECORDED]), _of(facts))]


def forget(tx: Tx, condition: NoticeEvent, keys: Sequence[str] | None = None) -> None:
    """Remove conditions, all of them without `keys`, whose end is not to be told, or is already."""
    _remove(tx, condition, keys)


def _remove(tx: Tx, condition: NoticeEvent, keys: Sequence[str] | None) -> list[dict[str, Any]]:
    # locked in one order: two replicas notice the end of the same conditions
    rows = tx.rows(
        "WITH locked AS (SELECT condition, key FROM federation_conditions"
        "   WHERE condition = :condition"
        "   AND (CAST(:keys AS text[]) IS NULL OR key = ANY(CAST(:keys AS text[])))"
        "   ORDER BY key FOR UPDATE)"
        " DELETE FROM federation_conditions AS c USING locked"
        " WHERE c.condition = locked.condition AND c.key = locked.key"
        " RETURNING c.key, c.facts, c.begun_at",
        condition=str(condition),
        keys=None if keys is None else list(keys),
    )
    return sorted(rows, key=lambda row: str(row["key"]))


def _of(facts: Sequence[Mapping[str, Any]]) -> str:
    """Return the subject of the record: the one object that it is about."""
    return str(facts[0]["subject"]) if len(facts) == 1 else "gateway"


SILENT_AFTER: Final = timedelta(minutes=15)  # or three of a timer's turns, where that is longer
MAX_TOLD: Final = 3  # problems of a source in a notice
FAILURES: Final = (NoticeEvent.REFUSED, NoticeEvent.FAILING)


def begin_failure(
    tx: Tx, source: str, failure: MosaicError, commit: Commit | None
) -> list[ConditionBegun]:
    """Return the event of a failure that is new: another one of this commit, or of this source."""
    facts = {
        "subject": "reconciler",
        "source": source,
        "code": failure.code,
        "message": _with_problems(failure),
        "hint": failure.hint,
        "commit": commit.as_json() if commit is not None else None,
    }
    refused = isinstance(failure, Refused) and failure.code != "plan_stale"
    event = NoticeEvent.REFUSED if refused else NoticeEvent.FAILING
    key = f"{failure.code} {commit.id if commit is not None else source}"
    return begin(tx, event, {key: facts})


def recover(tx: Tx, actor: str) -> list[ConditionEnded]:
    """Return the events of failures that are over, unless another loop that still runs fails."""
    still = tx.row(
        "SELECT 1 FROM federation_reconcilers WHERE actor <> :actor AND waits_for IS NOT NULL"
        " AND code IS NOT NULL AND code <> 'reconciler_paused'"
        " AND clock_timestamp() <= at + greatest(3 * every, CAST(:silent AS interval))",
        actor=actor,
        silent=SILENT_AFTER,
    )
    if still is not None:
        return []
    return [ended for each in FAILURES for ended in end(tx, each)]


def settle_commits(tx: Tx, applied: Commit, read_at: datetime | None) -> list[ConditionEnded]:
    """Return the events of commits that are pending no more, since this one is applied.

    One that was pending when this one was read is superseded; if it had failed, its failure stands.
    """
    events = end(tx, NoticeEvent.COMMIT, [applied.id])
    failed = {
        facts["commit"]["id"]
        for each in FAILURES
        for facts in open_conditions(tx, each).values()
        if facts["commit"] is not None
    }
    superseded = {"supersededBy": applied.id}
    earlier = open_conditions(tx, NoticeEvent.COMMIT, read_at).keys()
    for commit in sorted(earlier - failed):  # each has a status of its own
        events += end(tx, NoticeEvent.COMMIT, [commit], {commit: superseded})
    forget(tx, NoticeEvent.COMMIT, sorted(earlier & failed))
    return events


def _with_problems(failure: MosaicError) -> str:
    if not isinstance(failure, InvalidManifests):
        return failure.message
    first = "; ".join(str(each) for each in failure.problems[:MAX_TOLD])
    return f"{failure.message}: {first}"
