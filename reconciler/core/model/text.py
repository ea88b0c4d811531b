"""Foreign text as it may be shown: cut short, and with nothing in it that a terminal obeys."""

from __future__ import annotations

import re
from typing import Final

MAX_SHOWN: Final = 60  # characters

_TOKEN: Final = re.compile(
    r"([?&][\w-]*(?:token|password|secret|key|signature|auth)=|\b(?:basic|bearer) +|\bmosf1_)"
    r"[^\s&#'\"]+",
    re.IGNORECASE,
)


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """Return `text` cut at `limit` characters; what does not print stands as its escape."""
    kept = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text[:limit]
    )
    return f"{kept}…" if len(text) > limit else kept


def shown(value: object) -> str:
    """Return `value` as `printable` text in double quotes."""
    return f'"{printable(str(value))}"'


def without_credentials(text: str) -> str:
    """Return `text` without what a URL in it holds of credentials: a user, a password, a token."""
    return _TOKEN.sub(r"\1…", re.sub(r"(://)[^/\s]*@", r"\1", text))
