"""A plan as a comment of a pull request: what a reviewer must see, with nothing in it obeyed.

Whatever comes from manifests or rows stands in code, so that no name, label or reason can mention
anybody, link anywhere, or end the block that it stands in.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

from reconciler.cli.plan.text import SIGNS, certificates, ends, field_text, guard_line, sums
from reconciler.core.model.text import counted, printable
from reconciler.core.plan.guard import widens
from reconciler.core.plan.model import Action, Impact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.model.spec import Desired, Kind
    from reconciler.core.plan.guard import Verdict
    from reconciler.core.plan.model import AnyChange, Note, Plan

MAX_COMMENT: Final = 60_000  # characters, beside what closes it; GitHub takes 65,536
MAX_SPAN: Final = 1_000  # characters of a code span
MAX_OPEN: Final = 20  # entries of a section that is not folded
MARKER: Final = "<!-- mosaic federation plan -->"  # by which a workflow finds its own comment
TITLES: Final = {
    Action.REVOKE: "Removed",
    Action.REPLACE: "Replaced: a new grant, a new enrollment",
    Action.UPDATE: "Changed",
    Action.CREATE: "Added",
}


def plan_markdown(plan: Plan, verdict: Verdict, desired: Desired) -> str:
    """Return a plan as GitHub-flavoured markdown; cut between changes, saying so, where long."""
    comment = _Comment(list(_head(plan, verdict, desired)))
    notes: dict[tuple[Kind, str], list[Note]] = {}
    for note in plan.notes:
        notes.setdefault((note.kind, note.name), []).append(note)
    for action, changes in groupby(plan.changes, key=lambda change: change.action):
        entries = [
            (*_change(each), *_noted(each, notes.pop((each.kind, each.name), [])))
            for each in changes
        ]
        comment.section(TITLES[action], entries, fence="diff")
    comment.section("Unchanged, with a note", [(f"- {_left(each)}",) for each in notes.values()])
    return "\n".join([*comment.lines, *comment.cut()]) + "\n"


class _Comment:
    """The lines of a comment, and how many entries did not fit in it."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self._size = sum(len(line) + 1 for line in lines)
        self._left_out = 0

    def section(self, title: str, entries: list[tuple[str, ...]], fence: str = "") -> None:
        """Add a section that a reader may fold, of entries that fit whole; folded if long."""
        if not entries:
            return
        open_attribute = " open" if len(entries) <= MAX_OPEN else ""
        self._add(
            f"<details{open_attribute}><summary><b>{title}</b> ({len(entries):,})</summary>", ""
        )
        if fence:
            self._add(f"```{fence}")
        for entry in entries:
            if self._left_out or self._size + sum(len(line) + 1 for line in entry) > MAX_COMMENT:
                self._left_out += 1
            else:
                self._add(*entry)
        if fence:
            self._add("```")
        self._add("", "</details>", "")

    def cut(self) -> tuple[str, ...]:
        """Return what says that something does not fit."""
        if not self._left_out:
            return ()
        entries = "entry is" if self._left_out == 1 else "entries are"
        missing = (
            f"{self._left_out:,} more {entries} not shown, because a comment has a maximum length"
        )
        return (f"**Cut: {missing}.** `mosaic federation plan` shows all of it.",)

    def _add(self, *lines: str) -> None:
        self.lines += lines
        self._size += sum(len(line) + 1 for line in lines)


def _head(plan: Plan, verdict: Verdict, desired: Desired) -> Iterator[str]:
    yield MARKER
    sum_line = sums(plan).removesuffix(".")
    yield f"### {sum_line.replace('Plan:', 'Plan refused:', 1) if verdict.refusals else sum_line}"
    yield ""
    commit = desired.commit
    if commit is not None:
        dirty = ", with changes that are not committed" if desired.dirty else ""
        yield f"Of commit {code(commit.id[:12])}{dirty}. {guard_line(verdict)}"
    else:
        yield guard_line(verdict)
    for refusal in verdict.refusals:
        yield f"- :no_entry: {code(refusal.summary)}: {code(refusal.hint)}"
    wider = sum(widens(change) for change in plan.changes)
    if wider:
        yield f"- {counted(wider, 'object')} would be granted **more** than now"
    for impact in Impact:
        touched = sum(len(each.certificates) for each in plan.changes if each.impact is impact)
        if touched:
            yield f"- {counted(touched, 'live certificate')} would be **{impact}**"
    yield ""


def _change(change: AnyChange) -> Iterator[str]:
    # what a diff shows in red and green: what goes, and what comes
    sign = "-" if change.action is Action.REVOKE else "+" if change.action is Action.CREATE else "!"
    place = f"  {change.place.path}:{change.place.line}" if change.place is not None else ""
    name = change.kind.subject(change.name)
    reason = "; ".join(filter(None, (change.reason, ends(change))))
    yield _fenced(f"{sign} {SIGNS[change.action]} {name}{place}  ({reason})")
    for field in change.fields:
        yield _fenced(f"      {field_text(field, change.action)}")
    for line in certificates(change):
        yield _fenced(f"-     {line}")


def _noted(change: AnyChange, notes: list[Note]) -> Iterator[str]:
    """Yield the notes of an object that changes, below its change, which shows the reason."""
    for note in notes:
        detail = "" if note.detail in change.reason else note.detail
        command = f"({note.command})" if note.command else ""
        yield _fenced(f"      ! {' '.join(filter(None, (detail, command)))}")


def _left(notes: list[Note]) -> str:
    """Return the notes of one object."""
    name = code(notes[0].kind.subject(notes[0].name))
    commands = [f" ({code(note.command)})" if note.command else "" for note in notes]
    parts = (f"{code(note.detail)}{each}" for note, each in zip(notes, commands, strict=True))
    return f"{name}: {'; '.join(parts)}"


def code(text: str) -> str:
    """Return text as a code span, whatever is in it."""
    shown = printable(text, MAX_SPAN)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if longest else f"`{shown}`"


def _fenced(text: str) -> str:
    """Return a line of a fenced block that cannot end the block."""
    return printable(text, 400).rstrip().replace("```", "'''")
