"""A plan as people read it: what changes and why, what it ends, and what comes next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.changes import Action, NoteKind
from reconciler.core.guard import LIMIT_COUNT, LIMIT_PERCENT
from reconciler.core.scope import Effect
from reconciler.core.text import printable
from reconciler.core.times import rfc3339
from reconciler.core.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.changes import AnyChange, Note, Plan
    from reconciler.core.diff import FieldChange
    from reconciler.core.guard import Verdict

SIGNS: Final = {Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "±", Action.REVOKE: "-"}
COLOURS: Final = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REPLACE: "magenta",
    Action.REVOKE: "red",
}
NAME_WIDTH: Final = 33
REASON_WIDTH: Final = 28
FIELD_WIDTH: Final = 56
MAX_CERTIFICATES: Final = 5  # of one change; then they are counted
MAX_VALUE: Final = 200  # characters of one side of a field

Line = tuple[str, str | None]  # text, and its colour


def plan_lines(plan: Plan, verdict: Verdict) -> Iterator[Line]:
    """Yield the lines of a plan: changes, notes, sums, the guard's word."""
    for change in plan.changes:
        yield from _change(change)
    for note in plan.notes:
        yield _note(note), None
    yield sums(plan), None
    yield guard_line(verdict), "red" if verdict.refusals else None
    for refusal in verdict.refusals:
        yield f"refused: {refusal.message}", "red"
        if refusal.objects:
            yield f"  {', '.join(refusal.objects)}", None
        yield f"  {refusal.hint}", None


def _change(change: AnyChange) -> Iterator[Line]:
    colour = COLOURS[change.action]
    name = f"{SIGNS[change.action]} {str(change.kind).lower()}/{change.name}"
    place = f"{change.place.path}:{change.place.line}" if change.place is not None else ""
    ends = _ends(change)
    if change.action is Action.REVOKE:
        said = change.reason
    elif change.action is Action.REPLACE:
        said = f"{change.reason} ({place})"
    else:
        said = place
    yield f"  {name:<{NAME_WIDTH}} {printable(said, 200):<{REASON_WIDTH}}  {ends}".rstrip(), colour
    sign = "+" if change.action is Action.CREATE else "~"
    for field in change.fields:
        yield f"      {sign} {field_text(field, change.action)}".rstrip(), colour
    yield from _certificates(change)


def _ends(change: AnyChange) -> str:
    if change.impact is None:
        return ""
    return f"{counted(len(change.certificates), 'live certificate')} will be {change.impact}"


def _certificates(change: AnyChange) -> Iterator[Line]:
    """Yield the certificates that a change touches, the first to end before the others."""
    for each in change.certificates[:MAX_CERTIFICATES]:
        until = rfc3339(each.not_after.replace(microsecond=0))
        yield f"      ! {each.serial} of {each.peer}, until {until}", "red"
    if (more := len(change.certificates) - MAX_CERTIFICATES) > 0:
        yield f"      ! and {more:,} more; --output json lists them", "red"


def field_text(field: FieldChange, action: Action) -> str:
    """Return a field that changes: its path, what it was and is, and what that does."""
    if action is Action.CREATE:
        return f"{field.path}  {_value(field.new)}"
    told = "" if field.effect is Effect.NEUTRAL else str(field.effect).upper()
    shown = f"{field.path}  {_value(field.old)} -> {_value(field.new)}"
    return f"{shown:<{FIELD_WIDTH}}  {told}"


def _value(value: Any) -> str:
    if value is None:
        return "(absent)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text, MAX_VALUE) or '""'


def _note(note: Note) -> str:
    sign = "?" if note.note is NoteKind.NOT_IN_GIT_YET else "!"
    name = f"{sign} {str(note.kind).lower()}/{note.name}"
    command = f"  ({note.command})" if note.command else ""
    return f"  {name:<{NAME_WIDTH}} {printable(note.detail, 200)}{command}"


def sums(plan: Plan) -> str:
    """Return the line that counts the changes."""
    summary = plan.summary
    parts = [
        f"{summary.create:,} to add",
        f"{summary.update:,} to change",
        *([f"{summary.replace:,} to replace"] if summary.replace else []),
        f"{summary.revoke:,} to remove",
    ]
    if plan.empty:
        return f"Plan: nothing to do, {summary.unchanged:,} unchanged (of {summary.total:,})."
    return f"Plan: {', '.join(parts)}, {summary.unchanged:,} unchanged (of {summary.total:,})."


def guard_line(verdict: Verdict) -> str:
    """Return the line of the guard's figures."""
    noun = "removal" if verdict.removals == 1 else "removals"
    share = f"{verdict.removals:,} {noun} of {verdict.managed:,} ({verdict.percent:.2f} %)"
    limit = f"limit {LIMIT_PERCENT:.0f} %"
    if 0 < verdict.removals <= LIMIT_COUNT and verdict.percent > LIMIT_PERCENT:
        limit = f"and {LIMIT_COUNT} are never too many"
    return f"Guard: {share}, {limit}."
