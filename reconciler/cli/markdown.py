"""A plan as a comment of a pull request: what a reviewer must see, with nothing in it obeyed.

Whatever comes from manifests or rows stands in code, so that no name, label or reason can mention
anybody, link anywhere, or end the block that it stands in.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

from reconciler.cli.render import SIGNS, field_text, guard_line, sums
from reconciler.core.changes import Action
from reconciler.core.guard import widens
from reconciler.core.text import printable
from reconciler.core.times import rfc3339
from reconciler.core.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.changes import AnyChange, Note, Plan
    from reconciler.core.guard import Verdict
    from reconciler.core.spec import Desired

MAX_COMMENT: Final = 60_000  # characters; GitHub takes 65,536
MARKER: Final = "<!-- mosaic federation plan -->"  # by which a workflow finds its own comment
TITLES: Final = {
    Action.REVOKE: "Removed",
    Action.REPLACE: "Replaced: a new grant, a new enrollment",
    Action.UPDATE: "Changed",
    Action.CREATE: "Added",
}


def plan_markdown(plan: Plan, verdict: Verdict, desired: Desired) -> str:
    """Return a plan as GitHub-flavoured markdown; cut, and saying so, above `MAX_COMMENT`."""
    lines: list[str] = []
    size = 0
    for line in _lines(plan, verdict, desired):
        size += len(line) + 1
        if size > MAX_COMMENT:
            fence = ["```", ""] if _open(lines) else []
            cut = "**Cut: the plan is longer than a comment may be.** `mosaic federation plan`"
            lines += [*fence, f"{cut} shows all of it."]
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def _lines(plan: Plan, verdict: Verdict, desired: Desired) -> Iterator[str]:
    yield MARKER
    yield f"### {'Refused: ' if verdict.refusals else ''}{sums(plan).removesuffix('.')}"
    yield ""
    commit = desired.commit
    if commit is not None:
        dirty = ", with changes that are not committed" if desired.dirty else ""
        yield f"Of commit {code(commit.id[:12])}{dirty}. {guard_line(verdict)}"
    else:
        yield guard_line(verdict)
    for refusal in verdict.refusals:
        yield f"- :no_entry: {code(refusal.message)}: {code(refusal.hint)}"
    wider = sum(widens(change) for change in plan.changes)
    ending = [each for change in plan.changes for each in change.certificates]
    if wider:
        yield f"- {counted(wider, 'object')} would be granted **more** than now"
    if ending:
        yield f"- {counted(len(ending), 'live certificate')} would be ended, withheld or narrowed"
    yield ""
    for action, changes in groupby(plan.changes, key=lambda change: change.action):
        listed = tuple(changes)
        yield f"**{TITLES[action]}** ({len(listed):,})"
        yield ""
        yield "```diff"
        for change in listed:
            yield from _change(change)
        yield "```"
        yield ""
    if plan.notes:
        yield f"**Left as it is** ({len(plan.notes):,})"
        yield ""
        for note in plan.notes:
            yield f"- {_note(note)}"


def _change(change: AnyChange) -> Iterator[str]:
    # what a diff shows in red and green: what goes, and what comes
    sign = "-" if change.action is Action.REVOKE else "+" if change.action is Action.CREATE else "!"
    place = f"  {change.place.path}:{change.place.line}" if change.place is not None else ""
    name = f"{str(change.kind).lower()}/{change.name}"
    yield _fenced(f"{sign} {SIGNS[change.action]} {name}{place}  ({change.reason})")
    for field in change.fields:
        yield _fenced(f"      {field_text(field, change.action)}")
    for each in change.certificates:
        until = rfc3339(each.not_after.replace(microsecond=0))
        yield _fenced(f"-     {each.serial} of {each.peer}, until {until}: {change.impact}")


def _note(note: Note) -> str:
    name = code(f"{str(note.kind).lower()}/{note.name}")
    command = f" ({code(note.command)})" if note.command else ""
    return f"{name}: {code(note.detail)}{command}"


def code(text: str) -> str:
    """Return text as a code span, whatever is in it."""
    shown = printable(text, 300)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if longest else f"`{shown}`"


def _fenced(text: str) -> str:
    """Return a line of a fenced block that cannot end the block."""
    return printable(text, 400).rstrip().replace("```", "'''")


def _open(lines: list[str]) -> bool:
    return sum(line.startswith("```") for line in lines) % 2 == 1
