"""A notice as the lines that people read, before any target's escapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_LINE: Final = 400  # characters
_MARKS: Final = {"widens": "WIDENS ", "narrows": "NARROWS ", "mixed": "WIDENS and NARROWS "}


def item_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each object that the data of a notice names."""
    for item in data["items"]:
        # of a change, each field has its mark
        mark = "" if item["fields"] else _MARKS.get(item["effect"] or "", "")
        yield printable(f"{mark}{item['subject']}: {item['text']}", MAX_LINE)


def origin_line(data: Mapping[str, Any]) -> str:
    """Return where a notice comes from: the commit and its author, the actor, the audit record."""
    commit = data["commit"]
    parts = []
    if commit is not None:
        dirty = " with changes that are not committed" if data["dirty"] else ""
        named = f" {commit['subject']!r}" if commit.get("subject") else ""
        by = f" by {commit['author']}" if commit.get("author") else ""
        parts.append(f"commit {str(commit['id'])[:12]}{dirty}{named}{by}")
    elif data["source"]:
        parts.append(f"source {data['source']}")
    parts.append(f"actor {data['actor']}")
    if data["auditSeq"]:
        parts.append(f"audit record {data['auditSeq']}")
    return printable(" | ".join(parts), MAX_LINE * 2)


def bounded_lines(
    data: Mapping[str, Any], limit: int, escape: Callable[[str], str] = str
) -> list[str]:
    """Return the escaped lines of the objects that fit into `limit` characters, and what is left.

    A line that does not fit is left out whole, so that no escape is cut.
    """
    lines: list[str] = []
    room = limit - 60  # for the last line
    for line in map(escape, item_lines(data)):
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    left = data["count"] - len(lines)
    if left > 0 and lines:
        lines.append(f"and {left:,} more: see `mosaic federation audit list`")
    return lines
