"""A plan as people read it: what changes and why, what it ends, and what comes next."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from reconciler.cli.shared.invocation import on_home
from reconciler.core.model.scope import Effect
from reconciler.core.model.text import counted, percentage, printable
from reconciler.core.model.times import rfc3339
from reconciler.core.plan.guard import LIMIT_COUNT, LIMIT_PERCENT
from reconciler.core.plan.model import Action, NoteKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.plan.diff import FieldChange
    from reconciler.core.plan.guard import Verdict
    from reconciler.core.plan.model import AnyChange, Note, Plan

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
MAX_VALUE: Final = 200  # characters of one value
MAX_MEMBERS: Final = 8  # of a list or a map; then they are counted

Line = tuple[str, str | None]  # text, and its colour


def plan_lines(plan: Plan, verdict: Verdict, home: str | None = None) -> Iterator[Line]:
    """Yield the lines of a plan: changes, notes, sums, the guard's word.

    `home` is the flag that the command was given: what a note says to type acts on that home.
    """
    texts: dict[int, str] = {}  # by id: a dict has no hash, and the plan keeps its fields alive
    for change in plan.changes:
        yield from _change(change, texts)
    for note in plan.notes:
        yield _note(note, home), None
    yield sums(plan), None
    yield guard_line(verdict), "red" if verdict.refusals else None
    for refusal in verdict.refusals:
        yield f"refused: {refusal.summary}", "red"
        yield f"  {refusal.hint}", None


def _change(change: AnyChange, texts: dict[int, str]) -> Iterator[Line]:
    """Yield the lines of a change; `texts` has the text of fields that changes share, by id."""
    colour = COLOURS[change.action]
    name = f"{SIGNS[change.action]} {change.kind.subject(change.name)}"
    place = f"{change.place.path}:{change.place.line}" if change.place is not None else ""
    fact, rest = place, [change.reason, ends(change)]
    if change.action in (Action.REVOKE, Action.REPLACE):
        fact, rest = f"{change.reason} ({place})" if place else change.reason, [ends(change)]
    more = "; ".join(filter(None, rest))
    yield f"  {name:<{NAME_WIDTH}} {printable(fact, 400):<{REASON_WIDTH}}  {more}".rstrip(), colour
    sign = "+" if change.action is Action.CREATE else "~"
    for field in change.fields:
        text = texts.get(id(field)) or field_text(field, change.action)
        if change.action is Action.CREATE and isinstance(field.new, dict):
            texts[id(field)] = text
        yield f"      {sign} {text}".rstrip(), colour
    for each in certificates(change):
        yield f"      ! {each}", "red"


def ends(change: AnyChange) -> str:
    """Return what a change does to live certificates, in numbers; empty where it does nothing."""
    if change.impact is None:
        return ""
    return f"{counted(len(change.certificates), 'live certificate')} will be {change.impact}"


def certificates(change: AnyChange) -> Iterator[str]:
    """Yield the certificates that a change touches, the first to end before the others."""
    for each in change.certificates[:MAX_CERTIFICATES]:
        until = rfc3339(each.not_after.replace(microsecond=0))
        yield f"{each.serial} of {each.peer}, until {until}"
    if (more := len(change.certificates) - MAX_CERTIFICATES) > 0:
        yield f"… and {more:,} more; --output json lists them"


def field_text(field: FieldChange, action: Action) -> str:
    """Return a field that changes: its path, what it was and is, and what that does.

    Of a list or a map only the members that come (+), go (-) or change (~) are listed.
    """
    if action is Action.CREATE:
        return f"{field.path}  {_value(field.new)}"
    effect = "" if field.effect is Effect.NEUTRAL else str(field.effect).upper()
    old, new = field.old, field.new
    if isinstance(old, list) and isinstance(new, list):
        old, new = dict.fromkeys(old), dict.fromkeys(new)
    if isinstance(old, dict) and isinstance(new, dict):
        shown = f"{field.path}  {_members(old, new)}"
    else:
        shown = f"{field.path}  {_value(old)} -> {_value(new)}"
    return f"{shown:<{FIELD_WIDTH}}  {effect}"


def _members(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return what of two maps differs, or of two sets, whose members have no values."""
    members = [f"+ {_member(key, new[key])}" for key in new.keys() - old.keys()]
    members += [f"- {_member(key, old[key])}" for key in old.keys() - new.keys()]
    common = old.keys() & new.keys()
    changed = [key for key in common if old[key] != new[key]]
    members += [f"~ {_member(key, old[key])} -> {_value(new[key])}" for key in changed]
    same = len(common) - len(changed)
    unchanged = f" ({same:,} unchanged)" if same else ""
    return f"{', '.join(_first(sorted(members)))}{unchanged}"


def _member(key: str, value: Any) -> str:
    return _quoted(key) if value is None else f"{_quoted(key)}: {_quoted(value)}"


def _first(members: list[str]) -> list[str]:
    more = len(members) - MAX_MEMBERS
    return [*members[:MAX_MEMBERS], f"… {more:,} more"] if more > 0 else members


def _value(value: Any) -> str:
    if value is None:
        return "(absent)"
    if isinstance(value, str):
        return printable(value, MAX_VALUE) or '""'
    return _quoted(value)


def _quoted(value: Any) -> str:
    """Return a value as JSON, with the rest of what is long as its count."""
    match value:
        case dict():
            inner = [f"{_quoted(key)}: {_quoted(each)}" for key, each in value.items()]
            return f"{{{', '.join(_first(inner))}}}"
        case list():
            return f"[{', '.join(_first([_quoted(each) for each in value]))}]"
        case _:
            return _scalar(value)


@lru_cache(1024, typed=True)  # of a first apply, most changes have the same values
def _scalar(value: object) -> str:
    return printable(json.dumps(value, ensure_ascii=False), MAX_VALUE)


def _note(note: Note, home: str | None) -> str:
    sign = "?" if note.note is NoteKind.NOT_IN_GIT_YET else "!"
    name = f"{sign} {note.kind.subject(note.name)}"
    command = f"  ({on_home(note.command, home)})" if note.command else ""
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
    share = f"{counted(verdict.removals, 'removal')} of {verdict.managed:,}"
    if verdict.refusals:
        limit = "refused"
    elif verdict.exception:
        limit = f"allowed by --max-removals {verdict.exception}"
    elif 0 < verdict.removals <= LIMIT_COUNT and verdict.percent > LIMIT_PERCENT:
        limit = f"up to {LIMIT_COUNT} are allowed"
    else:
        limit = f"limit {LIMIT_PERCENT:.0f}%"
    return f"Guard: {share} ({percentage(verdict.percent)}), {limit}."
