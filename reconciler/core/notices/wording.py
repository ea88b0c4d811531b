"""Notices in words: what changes of fields do to authority, what began, how near an end is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.model.status_document import ENDS_WITHIN
from reconciler.core.model.text import counted, printable, without_credentials
from reconciler.core.notices.model import MAX_FIELDS, MAX_TEXT, Item, NoticeEvent, NoticeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

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


PAUSE_AGE: Final = timedelta(days=1)  # of a pause that somebody may have forgotten

_TITLES: Final[dict[tuple[NoticeEvent, NoticeState], str]] = {
    (NoticeEvent.REFUSED, NoticeState.BEGUN): "Refused: nothing is applied",
    (NoticeEvent.REFUSED, NoticeState.OVER): "Recovered: the source is applied again",
    (NoticeEvent.FAILING, NoticeState.BEGUN): "Failing: nothing is applied",
    (NoticeEvent.FAILING, NoticeState.OVER): "Recovered: the source is applied again",
    (NoticeEvent.ENDING, NoticeState.BEGUN): "{named} {expire} soon",
    (NoticeEvent.ENDING, NoticeState.OVER): "{named}: the end is settled",
    (NoticeEvent.DRIFT, NoticeState.BEGUN): "Drift: {named} {was} changed by hand",
    (NoticeEvent.DRIFT, NoticeState.OVER): "Drift repaired: {named}",
    (NoticeEvent.PAUSE, NoticeState.BEGUN): "The reconciler has been paused for more than a day",
    (NoticeEvent.PAUSE, NoticeState.OVER): "The reconciler is resumed",
    (NoticeEvent.COMMIT, NoticeState.BEGUN): "A commit is about to be applied",
    (NoticeEvent.COMMIT, NoticeState.OVER): "The commit is applied",
    (NoticeEvent.SUPERSEDED, NoticeState.OVER): "Superseded",
}


def condition_title(event: NoticeEvent, state: NoticeState, named: str, count: int) -> str:
    """Return the title of a condition's notice; `named` is its object, or how many there are."""
    expire, was = ("expires", "was") if count == 1 else ("expire", "were")
    return _TITLES[event, state].format(named=named, expire=expire, was=was)


def condition_items(
    event: NoticeEvent, state: NoticeState, items: Sequence[Json]
) -> tuple[Item, ...]:
    """Return the items of a condition's notice."""
    return tuple(_item(event, state, each) for each in items)


def _item(event: NoticeEvent, state: NoticeState, facts: Json) -> Item:
    subject, text = shown_text(facts["subject"]), shown_text(_text(event, state, facts))
    if event is not NoticeEvent.DRIFT or state is NoticeState.OVER:
        return Item(subject, text)
    fields = facts.get("fields") or ()
    return Item(subject, text, effect_of(fields), shown_fields(fields))


def _text(event: NoticeEvent, state: NoticeState, facts: Json) -> str:
    if event is NoticeEvent.PAUSE:
        return f"paused by {facts['by']} at {facts['at']}: {facts['reason']}"
    if event is NoticeEvent.SUPERSEDED:
        return f"the newer commit {facts['supersededBy'][:12]} is applied"
    if state is NoticeState.OVER:
        since = f"since {facts['since']}" if "since" in facts else ""
        if event is NoticeEvent.ENDING and "expiresAt" in facts:
            return f"expires at {facts['expiresAt']} now"
        detail = facts.get("message") or facts.get("reason") or facts.get("what") or ""
        return f"it was so {since}: {detail}" if detail else f"it was so {since}"
    match event:
        case NoticeEvent.ENDING:
            return f"expires within {counted(facts['within'], 'day')}, at {facts['expiresAt']}"
        case NoticeEvent.DRIFT:
            by = f" by {facts['by']}" if facts.get("by") else ""
            fields = changes_text(facts.get("fields") or ())
            return f"{facts['what']}{by}{f': {fields}' if fields else ''}"
        case NoticeEvent.REFUSED | NoticeEvent.FAILING:
            return f"{facts['message']}; {facts['hint']} ({facts['code']})"
        case _:
            return str(facts.get("source") or "")


def days_left(expires_at: datetime, now: datetime) -> int | None:
    """Return the smallest of `ENDS_WITHIN` that an end is within, or None: it is far away."""
    left = expires_at - now
    return next((days for days in ENDS_WITHIN if left <= timedelta(days=days)), None)
