"""The reconciler: git is the truth, and this is how the rows become what it says.

    desired  = manifest.load(source)            every problem, or none
    observed = observe(tx)                      one statement, so one snapshot, with its `now`
    plan     = plan(desired, observed)          pure, sorted, deterministic
    verdict  = judge(plan, limits)              refuses with numbers and the way out
    apply    under the lock: plan again, compare the digest, one transaction

What a person reads and what is applied is the same value; nothing between them is decided twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.guard import Limits, Verdict, judge
from reconciler.core.plan import plan as make_plan
from reconciler.errors import Refused
from reconciler.store import audit
from reconciler.store.apply import Provenance, carry_out, keep_books, record_run
from reconciler.store.ending import expire_due
from reconciler.store.locks import locked
from reconciler.store.observe import observe

if TYPE_CHECKING:
    from reconciler.core.changes import Plan
    from reconciler.core.spec import Desired
    from reconciler.store.tx import Database, Tx

DEFAULT_WAIT: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan and what the guard says of it."""

    plan: Plan
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Options:
    """How an apply may go: `expect` is the digest that a person approved, where one did."""

    limits: Limits = field(default_factory=Limits)
    expect: str | None = None
    wait: timedelta = DEFAULT_WAIT


def plan(tx: Tx, desired: Desired, limits: Limits) -> Judged:
    """Return what an apply would do now, and whether it may."""
    made = make_plan(desired, observe(tx))
    return Judged(made, judge(made, limits))


def apply(database: Database, desired: Desired, by: Provenance, options: Options) -> Judged:
    """Make the rows what `desired` declares; return what was done.

    (1) move what has expired, so that its name is free: true whatever follows, so on its own;
    (2) take the lock, in the transaction that does all of the rest;
    (3) plan again: what was approved may have been overtaken;
    (4) let the guard judge;
    (5) change the rows, revocations first, and append the audit entries last.

    Raises:
        Retry: `lock_held`.
        Refused: `plan_stale`: the plan is not the one that was approved; or the guard's refusal.
    """
    with database.transaction() as tx:  # (1)
        audit.append(tx, expire_due(tx, by.actor))
    with locked(database, options.wait) as tx:  # (2)
        judged = plan(tx, desired, options.limits)  # (3)
        if options.expect is not None and judged.plan.digest != options.expect:
            raise Refused(
                "plan_stale",
                "the rows or the manifests have changed since the plan was made",
                hint="nothing was changed; look at a new plan",
            )
        refuse_if_guarded(judged.verdict)  # (4)
        if judged.plan.empty:
            keep_books(tx, judged.plan, by)
        else:
            carry_out(tx, judged.plan, by)  # (5)
            record_run(tx, judged.plan, by)
    return judged


def refuse_if_guarded(verdict: Verdict) -> None:
    """Raise the guard's first refusal, with the others' facts beside it."""
    if verdict.allowed:
        return
    first = verdict.refusals[0]
    raise Refused(
        first.code,
        "; ".join(each.message for each in verdict.refusals),
        hint="; ".join(each.hint for each in verdict.refusals),
    )
