"""Foreign text as it may be shown: cut short, and with nothing in it that a terminal obeys."""

from __future__ import annotations

import re
from typing import Final

MAX_SHOWN: Final = 60  # characters


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
    """Return `text` with the user and password of every URL in it cut out."""
    return re.sub(r"(://)[^/\s]*@", r"\1", text)
