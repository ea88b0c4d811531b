"""Changes of a plan as events of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.audit.chain import Event
from reconciler.core.model.spec import PeerSpec
from reconciler.core.plan.model import Action

if TYPE_CHECKING:
    from reconciler.core.plan.model import AnyChange, Bookkeeping
    from reconciler.store.apply.provenance import Provenance
    from reconciler.store.apply.rows import NewIds


def provenance(by: Provenance) -> dict[str, object]:
    """Return what an event says of where its change came from."""
    return {"from": by.as_json()}


def book_events(book: Bookkeeping[Any, Any], by: Provenance) -> list[Event]:
    """Return the audit events of a row that becomes git's, or whose digest is mended.

    A place that moved has none.
    """
    kind = "peer" if isinstance(book.declared.spec, PeerSpec) else "grant"
    subject = f"{kind}/{book.row.name}"
    place = f"{book.declared.place.path}:{book.declared.place.line}"
    told = {"id": str(book.row.id), "place": place} | provenance(by)
    events = [] if book.row.managed else [Event(f"{kind}.adopted", by.actor, subject, told)]
    if book.corrects_digest:
        mended = {
            "reason": "its stored digest was changed by hand",
            "digest": book.digest,
            "spec": book.declared.spec.as_json(),
            "fields": [{"path": "digest", "old": book.row.digest, "new": book.digest}],
        }
        events.append(Event(f"{kind}.reverted", by.actor, subject, told | mended))
    return events


def event(change: AnyChange, by: Provenance, ids: NewIds) -> Event:
    """Return the audit event of a change that is no revocation; `id` is the row's that lives on."""
    assert change.declared is not None
    new = ids.get((change.kind, change.name))
    old = change.row.id if change.row is not None else None
    kind = str(change.kind).lower()
    verb = {Action.CREATE: "created", Action.UPDATE: "updated", Action.REPLACE: "replaced"}
    return Event(
        f"{kind}.{verb[change.action]}",
        by.actor,
        f"{kind}/{change.name}",
        {
            "id": str(new or old),
            "replaces": str(old) if change.action is Action.REPLACE else None,
            "reason": change.reason,
            "place": f"{change.declared.place.path}:{change.declared.place.line}",
            "managed": by.managed,
            "digest": change.declared.digest,
            "spec": change.declared.spec.as_json(),
            "fields": [field.as_json() for field in change.fields],
        }
        | provenance(by),
    )
