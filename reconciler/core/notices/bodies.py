"""The bodies of chats. What comes from manifests, commits and other gateways is only ever shown.

- Slack: `plain_text` objects, in which nothing is formatted; `&`, `<` and `>` are escaped as in all
  text of Slack, so that no `<!channel>`, `<@U…>` or link comes of it.
- Teams: an Adaptive Card, as its workflows take it. Each text is a `TextRun`, which knows no
  Markdown, unlike a `TextBlock`; a mention needs an entity, and there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.text import escaped, printable
from reconciler.core.notices.text import bounded_lines, origin_line

if TYPE_CHECKING:
    from collections.abc import Mapping

SLACK_HEADER: Final = 150  # characters, by Slack's reference of blocks
SLACK_TEXT: Final = 3000
TEAMS_TEXT: Final = 12_000  # of 28 KB in all


def slack_body(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message for an incoming webhook of Slack."""
    title = _slack_text(data["title"], SLACK_HEADER)
    lines = bounded_lines(data, SLACK_TEXT, _slack_escaped)
    section = [{"type": "section", "text": _plain("\n".join(lines))}] if lines else []
    origin = _plain(_slack_text(origin_line(data), SLACK_TEXT))
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
        *(_run({"text": line}) for line in bounded_lines(data, TEAMS_TEXT)),
        _run({"text": origin_line(data), "isSubtle": True, "size": "Small"}),
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
