"""A plan as people read it: what changes and why, what it ends, and what comes next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.changes import Action, NoteKind
from reconciler.core.guard import LIMIT_COUNT, LIMIT_PERCENT
from reconciler.core.scope import Effect
from reconciler.core.text import printable

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
MAX_VALUE: Final = 200  # characters of one side of a field

Line = tuple[str, str | None]  # text, and its colour


def plan_lines(plan: Plan, verdict: Verdict) -> Iterator[Line]:
    """Yield the lines of a plan: changes, notes, sums, the guard's word."""
    for change in plan.changes:
        yield from _change(change)
    for note in plan.notes:
        yield _note(note), None
    yield _sums(plan), None
    yield _guard(verdict), "red" if verdict.refusals else None
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
        yield f"      {sign} {_field(field, change.action)}".rstrip(), colour


def _ends(change: AnyChange) -> str:
    count = len(change.certificates)
    if not count:
        return ""
    return f"{count} live certificate{'' if count == 1 else 's'} will be revoked"


def _field(field: FieldChange, action: Action) -> str:
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


def _sums(plan: Plan) -> str:
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


def _guard(verdict: Verdict) -> str:
    noun = "removal" if verdict.removals == 1 else "removals"
    share = f"{verdict.removals:,} {noun} of {verdict.managed:,} ({verdict.percent:.2f} %)"
    limit = f"limit {LIMIT_PERCENT:.0f} %"
    if 0 < verdict.removals <= LIMIT_COUNT and verdict.percent > LIMIT_PERCENT:
        limit = f"and {LIMIT_COUNT} are never too many"
    return f"Guard: {share}, {limit}."
