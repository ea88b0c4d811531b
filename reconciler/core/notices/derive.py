"""The notices of the events of one transaction: one of each kind, however many objects it is about.

Everything here is pure, so what is told is decided by the typed event alone. An event that is not
in `_READERS` is not told.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit import certificate_events, row_events
from reconciler.core.audit.condition_events import ConditionBegun, ConditionEnded
from reconciler.core.model.text import counted, printable, without_credentials
from reconciler.core.model.times import rfc3339
from reconciler.core.notices.conditions import condition_items, condition_title
from reconciler.core.notices.model import (
    MAX_FIELDS,
    MAX_ITEMS,
    MAX_TEXT,
    Item,
    Notice,
    NoticeEvent,
    NoticeState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.core.audit.event_base import Json, RowEvent
    from reconciler.core.audit.events import Event

_VERBS: Final = ("added", "changed", "replaced", "removed", "reverted", "adopted")


@dataclass(frozen=True, slots=True)
class _Told:
    """What one event contributes: to which notice, what it does to authority, and its items.

    `items` makes them: of a large transaction only the first ones are shown.
    """

    event: NoticeEvent
    state: NoticeState
    items: Callable[[], tuple[Item, ...]]
    count: int = 1
    verb: str = ""
    effect: str | None = None
    origin: Json | None = None


def notices_of(events: Sequence[Event], first_seq: int) -> list[Notice]:
    """Return the notices of the events of one transaction, whose records begin with `first_seq`.

    A notice is of the last record that it tells of, so no two are of one record.
    """
    groups: dict[tuple[NoticeEvent, NoticeState], list[tuple[int, _Told]]] = {}
    for seq, event in enumerate(events, first_seq):
        reader = _READERS.get(type(event))
        told = reader(event) if reader is not None else None
        if told is not None:
            groups.setdefault((told.event, told.state), []).append((seq, told))
    notices = [_notice(event, state, told) for (event, state), told in groups.items()]
    return sorted(notices, key=lambda notice: notice.seq)


def _notice(event: NoticeEvent, state: NoticeState, told: Sequence[tuple[int, _Told]]) -> Notice:
    # what widens comes first: a long list is cut
    parts = sorted((part for _, part in told), key=_by_effect)
    items = tuple(item for part in parts[:MAX_ITEMS] for item in part.items())[:MAX_ITEMS]
    count = sum(part.count for part in parts)
    summary = _summary(parts) if event is NoticeEvent.APPLIED else {}
    origin = next((part.origin for part in parts if part.origin is not None), None) or {}
    return Notice(
        event,
        state,
        _title(event, state, items, count, summary),
        told[-1][0],
        items,
        count,
        summary,
        _commit(origin.get("commit")),
        _text(origin["source"]) if origin.get("source") else None,
        bool(origin.get("dirty")),
    )


def _by_effect(part: _Told) -> int:
    return {"widens": 0, "mixed": 0, "narrows": 1}.get(part.effect or "", 2)


def _summary(parts: Iterable[_Told]) -> dict[str, int]:
    counts = Counter(part.verb for part in parts)
    effects = Counter(part.effect for part in parts)
    return {verb: counts[verb] for verb in _VERBS} | {
        "widens": effects["widens"] + effects["mixed"],
        "narrows": effects["narrows"] + effects["mixed"],
    }


def _title(
    event: NoticeEvent,
    state: NoticeState,
    items: Sequence[Item],
    count: int,
    summary: dict[str, int],
) -> str:
    if event is NoticeEvent.APPLIED:
        sums = [f"{summary[verb]:,} {verb}" for verb in _VERBS if summary[verb]]
        effects = [f"{summary[each]:,} {each.upper()}" for each in _EFFECTS if summary[each]]
        return f"Applied: {', '.join(sums)}" + (f" ({', '.join(effects)})" if effects else "")
    named = items[0].subject if count == 1 and items else counted(count, "object")
    return _TITLES.get((event, state)) or condition_title(event, state, named)


_EFFECTS: Final = ("widens", "narrows")
_TITLES: Final[dict[tuple[NoticeEvent, NoticeState], str]] = {
    (NoticeEvent.ENROLLED, NoticeState.ONCE): "Enrolled",
    (NoticeEvent.THEFT, NoticeState.BEGUN): "Theft suspected",
    (NoticeEvent.THEFT, NoticeState.OVER): "Theft signal acknowledged",
    (NoticeEvent.REVOKED, NoticeState.ONCE): "Revoked",
    (NoticeEvent.WITHDRAWN, NoticeState.BEGUN): "Withdrawn by the other side",
    (NoticeEvent.WITHDRAWN, NoticeState.OVER): "Restored by the other side",
}


def _commit(commit: Json | None) -> Json | None:
    if commit is None:
        return None
    return {name: _text(value) if value else None for name, value in commit.items()}


def _text(value: object) -> str:
    """Return a value as text without credentials, of one line, cut short."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(without_credentials(text), MAX_TEXT)


def _declared(verb: str) -> Callable[[Any], _Told | None]:
    def read(event: Any) -> _Told | None:
        if event.origin is None:
            return None
        granted = verb in ("added", "replaced") and event.kind.startswith("grant.")
        effect = "widens" if granted else _effect({each.get("effect") for each in event.fields})

        def items() -> tuple[Item, ...]:
            what = _granted(event.spec) if granted else _changes(event.fields)
            fields = () if granted else tuple(map(_field, event.fields[:MAX_FIELDS]))
            return (Item(_subject(event), _text(f"{verb}: {what}"), effect, fields),)

        return _Told(NoticeEvent.APPLIED, NoticeState.ONCE, items, 1, verb, effect, event.origin)

    return read


def _effect(effects: set[object]) -> str | None:
    wider = bool(effects & {"widens", "mixed"})
    narrower = bool(effects & {"narrows", "mixed"})
    return "mixed" if wider and narrower else "widens" if wider else "narrows" if narrower else None


def _field(change: Json) -> Json:
    return {
        "path": _text(change["path"]),
        "old": _text(change.get("old")),
        "new": _text(change.get("new")),
        "effect": change.get("effect"),
    }


def _changes(fields: Sequence[Json]) -> str:
    texts = []
    for each in fields[:MAX_FIELDS]:
        effect = each.get("effect")
        mark = f" {effect.upper()}" if effect and effect != "neutral" else ""
        old, new = (printable(_text(each.get(side)), 60) for side in ("old", "new"))
        texts.append(f"{each['path']} {old} -> {new}{mark}")
    return "; ".join(texts) or "declared anew"


def _granted(spec: Json) -> str:
    """Return what a grant allows, in one line."""
    resources = spec.get("scope", {}).get("resources", ())
    allowed = ", ".join(f"{'/'.join(each['verbs'])} {each['type']}" for each in resources)
    return (
        f"peer {spec.get('peer')} may {allowed} of {spec.get('subjectUserId')}"
        f" until {spec.get('expiresAt')}"
    )


def _adopted(event: row_events.RowAdopted) -> _Told | None:
    text = f"managed by git from now on ({event.place})"
    told = _one(NoticeEvent.APPLIED, NoticeState.ONCE, event, text)
    return replace(told, verb="adopted", origin=event.origin)


def _revoked(event: row_events.GrantRevoked | row_events.PeerRevoked) -> _Told:
    if event.origin is None:
        return _narrowed(NoticeEvent.REVOKED, event, f"revoked: {event.reason}")
    told = _narrowed(NoticeEvent.APPLIED, event, f"removed: {event.reason}")
    return replace(told, verb="removed", origin=event.origin)


def _revoked_elsewhere(event: certificate_events.CertificateRevokedElsewhere) -> _Told:
    text = f"the certificate {event.serial} was revoked at the CA, and not by this gateway"
    return _narrowed(NoticeEvent.REVOKED, event, text)


def _expired(event: row_events.GrantExpired) -> _Told:
    return _one(NoticeEvent.ENDING, NoticeState.OVER, event, "expired")


def _issued(event: certificate_events.CertificateIssued) -> _Told | None:
    if event.renews is not None:
        return None
    text = f"the peer enrolled: certificate {event.serial}, until {rfc3339(event.not_after)}"
    return _one(NoticeEvent.ENROLLED, NoticeState.ONCE, event, text)


def _enrolled(event: certificate_events.PeerEnrolled) -> _Told:
    text = f"we enrolled: certificate {event.serial}, until {rfc3339(event.not_after)}"
    return _one(NoticeEvent.ENROLLED, NoticeState.ONCE, event, text)


def _theft(event: certificate_events.TheftSuspected) -> _Told:
    secret = f"certificate {event.certificate}" if event.certificate else f"token {event.token}"
    text = f"{secret} came from {event.address} with another key than its own ({event.code})"
    return _one(NoticeEvent.THEFT, NoticeState.BEGUN, event, text)


def _acknowledged(event: certificate_events.TheftAcknowledged) -> _Told:
    text = f"{event.secret}: the signal of record {event.record} was acknowledged"
    return _one(NoticeEvent.THEFT, NoticeState.OVER, event, text)


def _withdrawn(event: certificate_events.PeerGrantWithdrawn) -> _Told:
    text = f"the other side {event.what} the grant that it gave us"
    return _one(NoticeEvent.WITHDRAWN, NoticeState.BEGUN, event, text)


def _restored(event: certificate_events.PeerGrantRestored) -> _Told:
    text = "the grant that the other side gave us holds again"
    return _one(NoticeEvent.WITHDRAWN, NoticeState.OVER, event, text)


def _condition(event: ConditionBegun | ConditionEnded) -> _Told:
    state = NoticeState.BEGUN if isinstance(event, ConditionBegun) else NoticeState.OVER
    named = NoticeEvent(event.condition)
    commit = next((each["commit"] for each in event.items if each.get("commit")), None)
    source = next((each["source"] for each in event.items if each.get("source")), None)
    return _Told(
        named,
        state,
        lambda: condition_items(named, state, event.items, _text),
        event.count,
        origin={"commit": commit, "source": source},
    )


def _one(event: NoticeEvent, state: NoticeState, of: RowEvent, text: str) -> _Told:
    return _Told(event, state, lambda: (Item(_subject(of), _text(text)),))


def _narrowed(event: NoticeEvent, of: RowEvent, text: str) -> _Told:
    return _Told(
        event,
        NoticeState.ONCE,
        lambda: (Item(_subject(of), _text(text), "narrows"),),
        effect="narrows",
    )


def _subject(event: RowEvent) -> str:
    return _text(event.subject)


_READERS: Final[dict[type[Event], Callable[[Any], _Told | None]]] = {
    row_events.RowCreated: _declared("added"),
    row_events.RowUpdated: _declared("changed"),
    row_events.RowReplaced: _declared("replaced"),
    row_events.RowReverted: _declared("reverted"),
    row_events.RowAdopted: _adopted,
    row_events.GrantRevoked: _revoked,
    row_events.PeerRevoked: _revoked,
    row_events.GrantExpired: _expired,
    certificate_events.CertificateIssued: _issued,
    certificate_events.PeerEnrolled: _enrolled,
    certificate_events.CertificateRevokedElsewhere: _revoked_elsewhere,
    certificate_events.TheftSuspected: _theft,
    certificate_events.TheftAcknowledged: _acknowledged,
    certificate_events.PeerGrantWithdrawn: _withdrawn,
    certificate_events.PeerGrantRestored: _restored,
    ConditionBegun: _condition,
    ConditionEnded: _condition,
}
