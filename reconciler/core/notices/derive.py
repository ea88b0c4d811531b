"""The notices of the events of one transaction: one of each kind, however many objects it is about.

Everything here is pure, so what is told is decided by the typed event alone. An event that is not
in `_READERS` is not told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit import certificate_events, row_events
from reconciler.core.audit.events import ConditionBegun, ConditionEnded
from reconciler.core.model.text import counted
from reconciler.core.model.times import rfc3339
from reconciler.core.notices.changes import changes_text, effect_of, shown_fields, shown_text
from reconciler.core.notices.conditions import condition_items, condition_title
from reconciler.core.notices.model import (
    MAX_ITEMS,
    ONE_COMMIT,
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
class _Part:
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

    @property
    def commit(self) -> str:
        """The commit that it is about, where each has a notice of its own."""
        if self.event not in ONE_COMMIT or self.origin is None:
            return ""
        return str(self.origin["commit"]["id"])


def notices_of(events: Sequence[Event], first_seq: int) -> list[Notice]:
    """Return the notices of the events of one transaction, whose records begin with `first_seq`.

    A notice is of the last record that it tells of, so no two are of one record.
    """
    groups: dict[tuple[NoticeEvent, NoticeState, str], list[tuple[int, _Part]]] = {}
    for seq, event in enumerate(events, first_seq):
        reader = _READERS.get(type(event))
        part = reader(event) if reader is not None else None
        if part is not None:
            groups.setdefault((part.event, part.state, part.commit), []).append((seq, part))
    notices = [_notice(event, state, parts) for (event, state, _), parts in groups.items()]
    return sorted(notices, key=lambda notice: notice.seq)


def _notice(
    event: NoticeEvent, state: NoticeState, numbered: Sequence[tuple[int, _Part]]
) -> Notice:
    # what widens comes first: a long list is cut
    parts = sorted((part for _, part in numbered), key=_by_effect)
    items = tuple(item for part in parts[:MAX_ITEMS] for item in part.items())[:MAX_ITEMS]
    count = sum(part.count for part in parts)
    summary = _summary(parts) if event is NoticeEvent.APPLIED else {}
    origin = next((part.origin for part in parts if part.origin is not None), None) or {}
    return Notice(
        event,
        state,
        _title(event, state, items, count, summary),
        numbered[-1][0],
        items,
        count,
        summary,
        _commit(origin.get("commit")),
        shown_text(origin["source"]) if origin.get("source") else None,
        bool(origin.get("dirty")),
    )


def _by_effect(part: _Part) -> int:
    return {"widens": 0, "mixed": 0, "narrows": 1}.get(part.effect or "", 2)


def _summary(parts: Iterable[_Part]) -> dict[str, int]:
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
    return {name: shown_text(value) if value else None for name, value in commit.items()}


def _declared(verb: str) -> Callable[[Any], _Part | None]:
    def read(event: Any) -> _Part | None:
        if event.origin is None:
            return None
        granted = verb in ("added", "replaced") and event.kind.startswith("grant.")
        effect = "widens" if granted else effect_of(event.fields)

        def items() -> tuple[Item, ...]:
            what = (
                _granted(event.spec)
                if granted
                else changes_text(event.fields, new=verb == "added") or "declared again"
            )
            fields = () if granted else shown_fields(event.fields)
            return (Item(_subject(event), shown_text(f"{verb}: {what}"), effect, fields),)

        return _Part(NoticeEvent.APPLIED, NoticeState.ONCE, items, 1, verb, effect, event.origin)

    return read


def _granted(spec: Json) -> str:
    """Return what a grant allows, in one line."""
    resources = spec.get("scope", {}).get("resources", ())
    allowed = ", ".join(f"{'/'.join(each['verbs'])} {each['type']}" for each in resources)
    return (
        f"peer {spec.get('peer')} may {allowed} of {spec.get('subjectUserId')}"
        f" until {spec.get('expiresAt')}"
    )


def _adopted(event: row_events.RowAdopted) -> _Part | None:
    text = f"managed by git from now on ({event.place})"
    part = _one(NoticeEvent.APPLIED, NoticeState.ONCE, event, text)
    return replace(part, verb="adopted", origin=event.origin)


def _revoked(event: row_events.GrantRevoked | row_events.PeerRevoked) -> _Part:
    if event.origin is None:
        return _narrowed(NoticeEvent.REVOKED, event, f"revoked: {event.reason}")
    part = _narrowed(NoticeEvent.APPLIED, event, f"removed: {event.reason}")
    return replace(part, verb="removed", origin=event.origin)


def _revoked_elsewhere(event: certificate_events.CertificateRevokedElsewhere) -> _Part:
    text = f"the certificate {event.serial} was revoked at the CA, and not by this gateway"
    return _narrowed(NoticeEvent.REVOKED, event, text)


def _expired(event: row_events.GrantExpired) -> _Part:
    return _one(NoticeEvent.ENDING, NoticeState.OVER, event, "expired")


def _issued(event: certificate_events.CertificateIssued) -> _Part | None:
    if event.renews is not None:
        return None
    text = f"the peer enrolled: certificate {event.serial}, until {rfc3339(event.not_after)}"
    return _one(NoticeEvent.ENROLLED, NoticeState.ONCE, event, text)


def _enrolled(event: certificate_events.PeerEnrolled) -> _Part:
    text = f"we enrolled: certificate {event.serial}, until {rfc3339(event.not_after)}"
    return _one(NoticeEvent.ENROLLED, NoticeState.ONCE, event, text)


def _theft(event: certificate_events.TheftSuspected) -> _Part:
    secret = f"certificate {event.certificate}" if event.certificate else f"token {event.token}"
    text = f"{secret} was used from {event.address} with a key that is not its own ({event.code})"
    return _one(NoticeEvent.THEFT, NoticeState.BEGUN, event, text)


def _acknowledged(event: certificate_events.TheftAcknowledged) -> _Part:
    text = f"{event.secret}: the signal of record {event.record} was acknowledged"
    return _one(NoticeEvent.THEFT, NoticeState.OVER, event, text)


def _withdrawn(event: certificate_events.PeerGrantWithdrawn) -> _Part:
    text = f"the other side {event.what} the grant that it gave us"
    return _one(NoticeEvent.WITHDRAWN, NoticeState.BEGUN, event, text)


def _restored(event: certificate_events.PeerGrantRestored) -> _Part:
    text = "the grant that the other side gave us holds again"
    return _one(NoticeEvent.WITHDRAWN, NoticeState.OVER, event, text)


def _condition(event: ConditionBegun | ConditionEnded) -> _Part:
    state = NoticeState.BEGUN if isinstance(event, ConditionBegun) else NoticeState.OVER
    named = NoticeEvent(event.condition)
    if any("supersededBy" in each for each in event.items):
        named = NoticeEvent.SUPERSEDED
    commit = next((each["commit"] for each in event.items if each.get("commit")), None)
    source = next((each["source"] for each in event.items if each.get("source")), None)
    return _Part(
        named,
        state,
        lambda: condition_items(named, state, event.items),
        event.count,
        origin={"commit": commit, "source": source},
    )


def _one(event: NoticeEvent, state: NoticeState, of: RowEvent, text: str) -> _Part:
    return _Part(event, state, lambda: (Item(_subject(of), shown_text(text)),))


def _narrowed(event: NoticeEvent, of: RowEvent, text: str) -> _Part:
    return _Part(
        event,
        NoticeState.ONCE,
        lambda: (Item(_subject(of), shown_text(text), "narrows"),),
        effect="narrows",
    )


def _subject(event: RowEvent) -> str:
    return shown_text(event.subject)


_READERS: Final[dict[type[Event], Callable[[Any], _Part | None]]] = {
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
