"""The limits that a plan must keep, and the way out of each refusal, in numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.json_document import JsonDocument, json_value
from reconciler.core.model.scope import Effect
from reconciler.core.model.spec import Kind
from reconciler.core.model.text import counted, folded, percentage
from reconciler.core.plan.model import Action, AnyChange, Plan
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_COUNT: Final = 3  # removals that are never too many
LIMIT_PERCENT: Final = 30.0  # of the managed peers and grants

_REMOVALS: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)(%?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class MaxRemovals:
    """What `--max-removals` allows once: so many objects, or so many percent of the managed."""

    count: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> MaxRemovals:
        """Return the exception that `N` or `N%` states; raise `ValueError` for other text."""
        match = _REMOVALS.fullmatch(text)
        if match is None or (match[2] and float(match[1]) > 100):
            raise ValueError(f"got {text!r}, expected a number such as 12, or a share such as 40%")
        if match[2]:
            return cls(percent=float(match[1]))
        if "." in match[1]:
            raise ValueError(f"got {text!r}, expected a whole number, or a share such as 40%")
        return cls(count=int(match[1]))

    def __str__(self) -> str:
        """Return the text that states the exception."""
        return str(self.count) if self.percent is None else f"{self.percent:g}%"

    def allows(self, removals: int, percent: float) -> bool:
        """Tell whether the figures are within the exception."""
        within_count = self.count is not None and removals <= self.count
        return within_count or (self.percent is not None and percent <= self.percent)


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What the caller states for one run: exceptions, and that nothing may be widened."""

    max_removals: MaxRemovals | None = None
    allow_empty: bool = False
    refuse_widening: bool = False


@dataclass(frozen=True, slots=True)
class Refusal(JsonDocument):
    """One limit that the plan breaks: `code` as in the errors, and the objects it is about.

    `message` has count, share and limit, `hint` what allows it once, or the commit that does.
    """

    code: str
    message: str
    hint: str
    objects: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The message with its objects, those of a long list as their count."""
        return f"{self.message}: {folded(self.objects)}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The guard's figures and its refusals; an empty `refusals` lets the plan through.

    `exception` is the `--max-removals` without which it would have been refused.
    """

    removals: int
    managed: int
    percent: float
    refusals: tuple[Refusal, ...]
    exception: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the plan keeps every limit."""
        return not self.refusals

    def as_json(self) -> dict[str, Any]:
        """Return the form of the plan's JSON."""
        return {
            "allowed": self.allowed,
            "removals": self.removals,
            "managed": self.managed,
            "percent": round(self.percent, 2),
            "limitCount": LIMIT_COUNT,
            "limitPercent": LIMIT_PERCENT,
            "refusals": json_value(self.refusals),
        }


def judge(plan: Plan, limits: GuardOptions) -> Verdict:
    """Return the figures of `plan` and which limits it breaks.

    Revocations, replacements and suspensions are removals. They are out of the objects that were
    managed before the plan.
    """
    removed = tuple(change for change in plan.changes if _is_removal(change))
    managed = plan.managed_before
    percent = 100 * len(removed) / managed if managed else 0.0
    refusals = (
        *_too_many(removed, managed, percent, limits),
        *_protected(plan),
        *_empty(plan, removed, limits),
        *_widening(plan.changes, limits),
    )
    excepted = _too_many(removed, managed, percent, replace(limits, max_removals=None))
    stated = limits.max_removals is not None and any(excepted)
    exception = str(limits.max_removals) if stated and not refusals else ""
    return Verdict(len(removed), managed, percent, refusals, exception)


def refuse_if_guarded(verdict: Verdict) -> None:
    """Raise the guard's first refusal, with the others' facts beside it."""
    if not verdict.allowed:
        raise refusal_of(verdict)


def refusal_of(verdict: Verdict) -> Refused:
    """Return the error of a plan that is not allowed."""
    first = verdict.refusals[0]
    return Refused(
        first.code,
        "; ".join(each.summary for each in verdict.refusals),
        hint="; ".join(each.hint for each in verdict.refusals),
    )


def _is_removal(change: AnyChange) -> bool:
    return change.action in (Action.REVOKE, Action.REPLACE) or change.suspends


def _names(changes: tuple[AnyChange, ...]) -> tuple[str, ...]:
    return tuple(change.kind.subject(change.name) for change in changes)


def _too_many(
    removed: tuple[AnyChange, ...], managed: int, percent: float, limits: GuardOptions
) -> Iterator[Refusal]:
    if len(removed) <= LIMIT_COUNT or percent <= LIMIT_PERCENT:
        return
    if limits.max_removals is not None and limits.max_removals.allows(len(removed), percent):
        return
    yield Refusal(
        "guard_removals",
        f"{len(removed)} removals of {managed:,} managed objects ({percentage(percent)}), "
        f"limit {LIMIT_PERCENT:.0f}% and {LIMIT_COUNT}",
        f"check the source; --max-removals {len(removed)} allows it once",
        _names(removed),
    )


def _protected(plan: Plan) -> Iterator[Refusal]:
    protected = tuple(
        change
        for change in plan.changes
        if change.row is not None and change.row.spec.protect and _takes_away(change)
    )
    if protected:
        count = counted(len(protected), "protected object")
        yield Refusal(
            "guard_protected",
            f"{count} would be removed, replaced or ended sooner "
            f"({_share(len(protected), plan.managed_before)})",
            "set protect: false in a commit of its own and apply that first",
            _names(protected),
        )


def _takes_away(change: AnyChange) -> bool:
    """Tell whether a change removes its row, now or by an earlier end.

    Where git says what was applied last, an earlier end restores what was changed by hand.
    """
    if change.action in (Action.REVOKE, Action.REPLACE):
        return True
    row, declared = change.row, change.declared
    if row is None or declared is None or declared.digest == row.digest:
        return False
    return any(f.path == "expiresAt" and f.effect is Effect.NARROWS for f in change.fields)


def _empty(plan: Plan, removed: tuple[AnyChange, ...], limits: GuardOptions) -> Iterator[Refusal]:
    if plan.source_empty and plan.managed_before and not limits.allow_empty:
        removals = counted(len(removed), "removal")
        yield Refusal(
            "guard_empty",
            f"the source has no manifest: {removals} ({_share(len(removed), plan.managed_before)})",
            "check the path and the ref; --allow-empty allows it once",
            _names(removed),
        )


def widens(change: AnyChange) -> bool:
    """Tell whether a change grants what is not granted now: a new grant, or a wider one."""
    if change.kind is not Kind.GRANT or change.action is Action.REVOKE:
        return False
    wider = (Effect.WIDENS, Effect.MIXED)
    return change.action is not Action.UPDATE or any(f.effect in wider for f in change.fields)


def _widening(changes: tuple[AnyChange, ...], limits: GuardOptions) -> Iterator[Refusal]:
    wider = tuple(change for change in changes if widens(change))
    if limits.refuse_widening and wider:
        share = 100 * len(wider) / len(changes)
        yield Refusal(
            "guard_widening",
            f"{counted(len(wider), 'object')} would be granted more than now "
            f"({percentage(share)} of {counted(len(changes), 'change')}, limit 0)",
            "review them; leaving --refuse-widening out allows it once",
            _names(wider),
        )


def _share(count: int, managed: int) -> str:
    """Return the figures of changes that are never allowed, with their share of the rows."""
    percent = f"{percentage(100 * count / managed)} of {managed:,} managed, " if managed else ""
    return f"{percent}limit 0"
