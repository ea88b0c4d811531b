"""The bodies of chats. What comes from manifests, commits and other gateways is only ever shown.

- Slack: `plain_text` objects, in which nothing is formatted; `&`, `<` and `>` are escaped as in all
  text of Slack, so that no `<!channel>`, `<@U…>` or link comes of it.
- Teams: an Adaptive Card, as its workflows take it. Each text is a `TextRun`, which knows no
  Markdown, unlike a `TextBlock`; a mention needs an entity, and there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.text import escaped, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


SLACK_HEADER: Final = 150  # characters, by Slack's reference of blocks
SLACK_TEXT: Final = 3000
TEAMS_TEXT: Final = 12_000  # of 28 KB in all


def slack_body(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message for an incoming webhook of Slack."""
    title = _slack_text(data["title"], SLACK_HEADER)
    lines = _bounded_lines(data, SLACK_TEXT, _slack_escaped)
    section = [{"type": "section", "text": _plain("\n".join(lines))}] if lines else []
    origin = _plain(_slack_text(_origin_line(data), SLACK_TEXT))
    return {
        "text": title,
        "blocks": [
            {"type": "header", "text": _plain(title)},
            *section,
            {"type": "context", "elements": [origin]},
        ],
    }


def _slack_escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack_text(text: str, limit: int) -> str:
    """Return a text escaped, cut between characters, so that no escape is cut."""
    room = limit - 1
    for index, each in enumerate(text):
        room -= len(_slack_escaped(each))
        if room < 0:
            return f"{_slack_escaped(escaped(text[:index]))}…"
    return _slack_escaped(escaped(text))


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def teams_body(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with an Adaptive Card for a workflow of Teams."""
    title = {"text": printable(data["title"], 300), "weight": "Bolder", "size": "Large"}
    blocks = [
        _run(title),
        *(_run({"text": line}) for line in _bounded_lines(data, TEAMS_TEXT)),
        _run({"text": _origin_line(data), "isSubtle": True, "size": "Small"}),
    ]
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": blocks,
                },
            }
        ],
    }


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run}]}


MAX_LINE: Final = 400  # characters
_MARKS: Final = {"widens": "WIDENS ", "narrows": "NARROWS ", "mixed": "WIDENS and NARROWS "}


def _item_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each object that the data of a notice names."""
    for item in data["items"]:
        # of a change, each field has its mark
        mark = "" if item["fields"] else _MARKS.get(item["effect"] or "", "")
        yield printable(f"{mark}{item['subject']}: {item['text']}", MAX_LINE)


def _origin_line(data: Mapping[str, Any]) -> str:
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


def _bounded_lines(
    data: Mapping[str, Any], limit: int, escape: Callable[[str], str] = str
) -> list[str]:
    """Return the escaped lines of the objects that fit into `limit` characters, and what is left.

    A line that does not fit is left out whole, so that no escape is cut.
    """
    lines: list[str] = []
    room = limit - 60  # for the last line
    for line in map(escape, _item_lines(data)):
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    left = data["count"] - len(lines)
    if left > 0 and lines:
        lines.append(f"and {left:,} more: see `mosaic federation audit list`")
    return lines
