"""What passes of loops and applies of people begin and end: failures, and pending commits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.notices.model import NoticeEvent
from reconciler.errors import InvalidManifests, Refused
from reconciler.store.notices import conditions

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.audit.events import ConditionBegun, ConditionEnded
    from reconciler.core.model.commits import Commit
    from reconciler.errors import MosaicError
    from reconciler.store.db import Tx

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
    return conditions.begin(tx, event, {key: facts})


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
    return [ended for each in FAILURES for ended in conditions.end(tx, each)]


def settle_commits(tx: Tx, applied: Commit, read_at: datetime | None) -> list[ConditionEnded]:
    """Return the events of commits that are pending no more, since this one is applied.

    One that was pending when this one was read is superseded; if it had failed, its failure stands.
    """
    events = conditions.end(tx, NoticeEvent.COMMIT, [applied.id])
    failed = {
        facts["commit"]["id"]
        for each in FAILURES
        for facts in conditions.open_conditions(tx, each).values()
        if facts["commit"] is not None
    }
    superseded = {"supersededBy": applied.id}
    earlier = conditions.open_conditions(tx, NoticeEvent.COMMIT, read_at).keys()
    for commit in sorted(earlier - failed):  # each has a status of its own
        events += conditions.end(tx, NoticeEvent.COMMIT, [commit], {commit: superseded})
    conditions.forget(tx, NoticeEvent.COMMIT, sorted(earlier & failed))
    return events


def _with_problems(failure: MosaicError) -> str:
    if not isinstance(failure, InvalidManifests):
        return failure.message
    first = "; ".join(str(each) for each in failure.problems[:MAX_TOLD])
    return f"{failure.message}: {first}"
