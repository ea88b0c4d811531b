"""What each reconciler's last pass came to, for `status`; and whether a person has paused them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.events import ReconcilerPaused, ReconcilerResumed
from reconciler.core.model.json_document import JsonDocument
from reconciler.core.notices.model import NoticeEvent
from reconciler.errors import InvalidManifests, Refused, Retry
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json
from reconciler.store.notices import conditions

if TYPE_CHECKING:
    from reconciler.core.audit.events import ConditionBegun, ConditionEnded
    from reconciler.core.model.commits import Commit
    from reconciler.errors import MosaicError
    from reconciler.store.db import Tx

FORGET_AFTER: Final = timedelta(days=7)  # a replica that was never seen again
MAX_PROBLEMS: Final = 20  # of a source, that are kept
PASSING: Final = timedelta(minutes=1)  # after which what may pass by itself is told


class Waiting(StrEnum):
    """What a reconciler waits for after a pass, if its timer does not come first."""

    CHANGE = "change"  # of the source
    RETRY = "retry"  # of what may pass by itself
    RESUME = "resume"  # of a pause
    PERSON = "person"  # who sees to a refusal, or a change


@dataclass(frozen=True, slots=True)
class Pass:
    """How a pass of the loop `actor` ended, and what follows.

    `every` is its timer; the next pass comes after `due` at the latest. `watch` tells people how
    the source is watched. `commit` is the one that was read, if there was one, and when.
    """

    actor: str
    source: str
    revision: str | None
    every: timedelta
    failure: MosaicError | None
    waiting: Waiting
    due: timedelta
    watch: str
    commit: Commit | None = None
    commit_read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pause(JsonDocument):
    """Who has paused the loops, when, and why."""

    by: str
    at: datetime
    reason: str


def record_pass(tx: Tx, ended: Pass) -> None:
    """Record a pass as the loop's last; what fails, fails since its first time."""
    failure = ended.failure
    problems = failure.problems if isinstance(failure, InvalidManifests) else None
    tx.run(
        "DELETE FROM federation_reconcilers WHERE at < clock_timestamp() - CAST(:age AS interval)",
        age=FORGET_AFTER,
    )
    tx.run(
        "INSERT INTO federation_reconcilers AS r"
        " (actor, source, revision, every, failing_since, code, message, hint, watch, waits_for,"
        " next_at, problems, problem_count)"
        " VALUES (:actor, :source, :revision, :every,"
        " CASE WHEN CAST(:code AS text) IS NULL THEN NULL ELSE clock_timestamp() END,"
        " :code, :message, :hint, :watch, :waiting, clock_timestamp() + CAST(:due AS interval),"
        " CAST(:problems AS jsonb), :problem_count)"
        " ON CONFLICT (actor) DO UPDATE SET at = clock_timestamp(), source = excluded.source,"
        " every = excluded.every, revision = coalesce(excluded.revision, r.revision),"
        " failing_since = CASE WHEN excluded.code IS NULL THEN NULL"
        " ELSE coalesce(r.failing_since, excluded.failing_since) END,"
        " code = excluded.code, message = excluded.message, hint = excluded.hint,"
        " watch = excluded.watch, waits_for = excluded.waits_for, next_at = excluded.next_at,"
        " problems = excluded.problems, problem_count = excluded.problem_count",
        actor=ended.actor,
        source=ended.source,
        revision=ended.revision,
        every=ended.every,
        code=failure.code if failure else None,
        message=failure.message if failure else None,
        hint=failure.hint if failure else None,
        watch=ended.watch,
        waiting=str(ended.waiting),
        due=ended.due,
        problems=as_json([each.as_json() for each in problems[:MAX_PROBLEMS]])
        if problems
        else None,
        problem_count=len(problems) if problems else None,
    )
    audit.append(tx, ended.actor, _recovered(tx, ended) if failure is None else _failing(tx, ended))


def begin_commit(tx: Tx, actor: str, source: str, commit: Commit) -> datetime:
    """Record that a commit was read and is to be applied, if some forge is to show that.

    Return the time of that.
    """
    read_at = tx.now()
    wanted = tx.row(
        "SELECT 1 FROM federation_notice_targets AS t WHERE :event = ANY(t.events)"
        " AND NOT EXISTS (SELECT FROM federation_applied AS a WHERE a.source_revision = :commit)",
        event=str(NoticeEvent.COMMIT),
        commit=commit.id,
    )
    if wanted is None:
        return read_at
    facts = {"subject": f"commit/{commit.id[:12]}", "source": source, "commit": commit.as_json()}
    audit.append(tx, actor, conditions.begin(tx, NoticeEvent.COMMIT, {commit.id: facts}))
    return read_at


def _failing(tx: Tx, ended: Pass) -> list[ConditionBegun]:
    """Return the event of a failure that is new; one that may pass by itself is given a minute."""
    failure = ended.failure
    if failure is None or failure.code == "reconciler_paused":
        return []
    if isinstance(failure, Retry) or failure.code == "plan_stale":
        row = tx.row(
            "SELECT 1 FROM federation_reconcilers WHERE actor = :actor"
            " AND failing_since <= clock_timestamp() - CAST(:age AS interval)",
            actor=ended.actor,
            age=PASSING,
        )
        if row is None:
            return []
    return conditions.begin_failure(tx, ended.source, failure, ended.commit)


def _recovered(tx: Tx, ended: Pass) -> list[ConditionEnded]:
    commit = ended.commit
    settled = (
        conditions.settle_commits(tx, commit, ended.commit_read_at) if commit is not None else []
    )
    return [*settled, *conditions.recover(tx, ended.actor)]


def record_refusal(
    tx: Tx, actor: str, source: str, refusal: Refused, commit: Commit | None
) -> None:
    """Record that an apply of a person was refused; again, it is recorded once."""
    audit.append(tx, actor, conditions.begin_failure(tx, source, refusal, commit))


def record_stop(tx: Tx, actor: str) -> None:
    """Record that a loop was stopped and waits for nothing."""
    tx.run(
        "UPDATE federation_reconcilers SET waits_for = NULL, next_at = NULL WHERE actor = :actor",
        actor=actor,
    )


def passes(tx: Tx) -> list[dict[str, Any]]:
    """Return the last pass of each reconciler, the newest first; `silent`: it was due long ago."""
    return tx.rows(
        "SELECT actor, at, source, revision, failing_since, code, message, hint, watch, waits_for,"
        " next_at, problems, problem_count,"
        " clock_timestamp() > at + greatest(3 * every, CAST(:silent AS interval)) AS silent"
        " FROM federation_reconcilers ORDER BY at DESC, actor",
        silent=conditions.SILENT_AFTER,
    )


def paused(tx: Tx) -> Pause | None:
    """Return the pause that is in force, or None."""
    row = tx.row("SELECT paused FROM federation_applied WHERE paused IS NOT NULL")
    if row is None:
        return None
    document = row["paused"]
    return Pause(document["by"], datetime.fromisoformat(document["at"]), document["reason"])


def refuse_if_paused(tx: Tx) -> None:
    """Raise where a person has paused the loops.

    Raises:
        Refused: `reconciler_paused`.
    """
    if (current_pause := paused(tx)) is not None:
        raise Refused(
            "reconciler_paused",
            f"paused by {current_pause.by}: {current_pause.reason}",
            hint="resume with: `mosaic federation resume`",
        )


def pause(tx: Tx, actor: str, reason: str) -> Pause:
    """Keep every loop from changing a row, until `resume`; one that is paused stays as it is.

    Under the lock: so no loop that saw none is still writing.
    """
    made = Pause(actor, tx.now(), reason)
    changed = tx.run(
        "UPDATE federation_applied SET paused = CAST(:paused AS jsonb) WHERE paused IS NULL",
        paused=as_json(made.as_json()),
    )
    if changed:
        audit.append(tx, actor, [ReconcilerPaused(reason)])
    return paused(tx) or made


def resume(tx: Tx, actor: str) -> None:
    """Let the loops go on.

    Raises:
        Refused: `state_conflict`: nobody has paused them.
    """
    current_pause = paused(tx)
    if current_pause is None:
        raise Refused(
            "state_conflict",
            "the reconciler is not paused",
            hint="see `mosaic federation status`",
        )
    tx.run("UPDATE federation_applied SET paused = NULL")
    ended = conditions.end(tx, NoticeEvent.PAUSE)
    audit.append(tx, actor, [ReconcilerResumed(current_pause.as_json()), *ended])
