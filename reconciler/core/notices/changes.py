"""What changes of fields are in words, and what they do to authority."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.core.model.text import printable, without_credentials
from reconciler.core.notices.model import MAX_FIELDS, MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.audit.event_base import Json

_MAX_VALUE = 60  # characters, in a text


def shown_text(value: object) -> str:
    """Return a value as text without credentials, of one line, cut short."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(without_credentials(text), MAX_TEXT)


def effect_of(fields: Iterable[Json]) -> str | None:
    """Return what changes do to authority together: `widens`, `narrows`, `mixed`, or None."""
    effects = {each.get("effect") for each in fields}
    wider, narrower = bool(effects & {"widens", "mixed"}), bool(effects & {"narrows", "mixed"})
    return "mixed" if wider and narrower else "widens" if wider else "narrows" if narrower else None


def shown_fields(fields: Sequence[Json]) -> tuple[Json, ...]:
    """Return the first changes with their values as texts."""
    return tuple(
        {
            "path": shown_text(each["path"]),
            "old": shown_text(each.get("old")),
            "new": shown_text(each.get("new")),
            "effect": each.get("effect"),
        }
        for each in fields[:MAX_FIELDS]
    )


def changes_text(fields: Sequence[Json], *, new: bool = False) -> str:
    """Return changes in one line; of a `new` object there are no old values."""
    texts = []
    for each in fields[:MAX_FIELDS]:
        effect = each.get("effect")
        mark = f" {effect.upper()}" if effect and effect != "neutral" else ""
        old, now = (printable(shown_text(each.get(side)), _MAX_VALUE) for side in ("old", "new"))
        texts.append(f"{each['path']} {now}" if new else f"{each['path']} {old} -> {now}{mark}")
    more = f"; and {len(fields) - MAX_FIELDS:,} more" if len(fields) > MAX_FIELDS else ""
    return "; ".join(texts) + more
