"""What one event contributes to the notices of its transaction.

Everything here is pure, so what is told is decided by the typed event alone. An event that is not
in `_READERS` is not told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit import certificate_events, row_events
from reconciler.core.audit.events import ConditionBegun, ConditionEnded
from reconciler.core.model.times import rfc3339
from reconciler.core.notices.model import ONE_COMMIT, Item, NoticeEvent, NoticeState
from reconciler.core.notices.wording import (
    changes_text,
    condition_items,
    effect_of,
    shown_fields,
    shown_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.audit.event_base import Json, RowEvent
    from reconciler.core.audit.events import Event


@dataclass(frozen=True, slots=True)
class Contribution:
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


def contribution_of(event: Event) -> Contribution | None:
    """Return what an event contributes, or None if it is not told."""
    reader = _READERS.get(type(event))
    return reader(event) if reader is not None else None


def _declared(verb: str) -> Callable[[Any], Contribution | None]:
    def read(event: Any) -> Contribution | None:
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

        return Contribution(
            NoticeEvent.APPLIED, NoticeState.ONCE, items, 1, verb, effect, event.origin
        )

    return read


def _granted(spec: Json) -> str:
    """Return what a grant allows, in one line."""
    resources = spec.get("scope", {}).get("resources", ())
    allowed = ", ".join(f"{'/'.join(each['verbs'])} {each['type']}" for each in resources)
    return (
        f"peer {spec.get('peer')} may {allowed} of {spec.get('subjectUserId')}"
        f" until {spec.get('expiresAt')}"
    )


def _adopted(event: row_events.RowAdopted) -> Contribution | None:
    text = f"managed by git from now on ({event.place})"
    part = _one(NoticeEvent.APPLIED, NoticeState.ONCE, event, text)
    return replace(part, verb="adopted", origin=event.origin)


def _revoked(event: row_events.GrantRevoked | row_events.PeerRevoked) -> Contribution:
    if event.origin is None:
        return _narrowed(NoticeEvent.REVOKED, event, f"revoked: {event.reason}")
    part = _narrowed(NoticeEvent.APPLIED, event, f"removed: {event.reason}")
    return replace(part, verb="removed", origin=event.origin)


def _revoked_elsewhere(event: certificate_events.CertificateRevokedElsewhere) -> Contribution:
    text = f"the certificate {event.serial} was revoked at the CA, and not by this gateway"
    return _narrowed(NoticeEvent.REVOKED, event, text)


def _expired(event: row_events.GrantExpired) -> Contribution:
    return _one(NoticeEvent.ENDING, NoticeState.OVER, event, "expired")


def _issued(event: certificate_events.CertificateIssued) -> Contribution | None:
    if event.renews is not None:
        return None
    text = f"the peer enrolled: certificate {event.serial}, until {rfc3339(event.not_after)}"
    return _one(NoticeEvent.ENROLLED, NoticeState.ONCE, event, text)


def _enrolled(event: certificate_events.PeerEnrolled) -> Contribution:
    text = f"we enrolled: certificate {event.serial}, until {rfc3339(event.not_after)}"
    return _one(NoticeEvent.ENROLLED, NoticeState.ONCE, event, text)


def _theft(event: certificate_events.TheftSuspected) -> Contribution:
    secret = f"certificate {event.certificate}" if event.certificate else f"token {event.token}"
    text = f"{secret} was used from {event.address} with a key that is not its own ({event.code})"
    return _one(NoticeEvent.THEFT, NoticeState.BEGUN, event, text)


def _acknowledged(event: certificate_events.TheftAcknowledged) -> Contribution:
    text = f"{event.secret}: the signal of record {event.record} was acknowledged"
    return _one(NoticeEvent.THEFT, NoticeState.OVER, event, text)


def _withdrawn(event: certificate_events.PeerGrantWithdrawn) -> Contribution:
    text = f"the other side {event.what} the grant that it gave us"
    return _one(NoticeEvent.WITHDRAWN, NoticeState.BEGUN, event, text)


def _restored(event: certificate_events.PeerGrantRestored) -> Contribution:
    text = "the grant that the other side gave us holds again"
    return _one(NoticeEvent.WITHDRAWN, NoticeState.OVER, event, text)


def _condition(event: ConditionBegun | ConditionEnded) -> Contribution:
    state = NoticeState.BEGUN if isinstance(event, ConditionBegun) else NoticeState.OVER
    named = NoticeEvent(event.condition)
    if any("supersededBy" in each for each in event.items):
        named = NoticeEvent.SUPERSEDED
    commit = next((each["commit"] for each in event.items if each.get("commit")), None)
    source = next((each["source"] for each in event.items if each.get("source")), None)
    return Contribution(
        named,
        state,
        lambda: condition_items(named, state, event.items),
        event.count,
        origin={"commit": commit, "source": source},
    )


def _one(event: NoticeEvent, state: NoticeState, of: RowEvent, text: str) -> Contribution:
    return Contribution(event, state, lambda: (Item(_subject(of), shown_text(text)),))


def _narrowed(event: NoticeEvent, of: RowEvent, text: str) -> Contribution:
    return Contribution(
        event,
        NoticeState.ONCE,
        lambda: (Item(_subject(of), shown_text(text), "narrows"),),
        effect="narrows",
    )


def _subject(event: RowEvent) -> str:
    return shown_text(event.subject)


_READERS: Final[dict[type[Event], Callable[[Any], Contribution | None]]] = {
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
