"""Text for people: foreign text that is safe to print, counts, shares and lists of names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SHOWN: Final = 60  # characters
MAX_LISTED: Final = 10  # names of one sentence

_TOKEN: Final = re.compile(
    r"([?&][\w-]*(?:token|password|secret|key|signature|auth)=|\b(?:basic|bearer) +|\bmosf1_)"
    r"[^\s&#'\"]+",
    re.IGNORECASE,
)


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """Return `text` cut at `limit` characters; what does not print stands as its escape."""
    return f"{escaped(text[:limit])}…" if len(text) > limit else escaped(text)


def escaped(text: str, allowed: str = "") -> str:
    """Return `text` in which what does not print, but for `allowed`, stands as its escape.

    That is every control (C0, C1), every format control (bidirectional ones, joiners, marks), line
    and paragraph separators, unusual spaces, surrogates, and what Unicode has not assigned.
    """
    if _without(text, allowed).isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in allowed else each.encode("unicode_escape").decode()
        for each in text
    )


def _without(text: str, characters: str) -> str:
    for each in characters:
        text = text.replace(each, "")
    return text


def json_text(document: object, indent: int | None = None) -> str:
    """Return a document as JSON in which what does not print stands as its escape."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if _without(text, "\n").isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )


def shown(value: object) -> str:
    """Return `value` as `printable` text in double quotes."""
    return f'"{printable(str(value))}"'


def without_credentials(text: str) -> str:
    """Return `text` without what a URL in it holds of credentials: a user, a password, a token."""
    return _TOKEN.sub(r"\1…", re.sub(r"(://)[^/\s]*@", r"\1", text))


def counted(count: int, noun: str) -> str:
    """Return a count and its noun: `1 grant`, `1,000 grants`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percentage(share: float) -> str:
    """Return a share of 100 as English writes it: `30.00%`; what is more than nothing says so."""
    return "<0.01%" if 0 < share < 0.005 else f"{share:.2f}%"


def folded(names: Sequence[str]) -> str:
    """Return names as a list of a sentence, those beyond `MAX_LISTED` as their count."""
    more = f" … and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
