"""Changes of a plan as events of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.audit.event_base import RowRef
from reconciler.core.audit.row_events import (
    RowAdopted,
    RowCreated,
    RowReplaced,
    RowReverted,
    RowUpdated,
)
from reconciler.core.model.spec import Kind, PeerSpec
from reconciler.core.plan.model import Action

if TYPE_CHECKING:
    from reconciler.core.model.spec import SourceLocation
    from reconciler.core.plan.model import AnyChange, Bookkeeping
    from reconciler.store.apply.provenance import Provenance
    from reconciler.store.apply.rows import NewIds

_EVENTS: Final[dict[Action, type[RowCreated | RowUpdated | RowReplaced]]] = {
    Action.CREATE: RowCreated,
    Action.UPDATE: RowUpdated,
    Action.REPLACE: RowReplaced,
}


def bookkeeping_events(
    book: Bookkeeping[Any, Any], provenance: Provenance
) -> list[RowAdopted | RowReverted]:
    """Return the events of a row that becomes git's, or whose stored digest is corrected.

    A place that moved has none.
    """
    kind = Kind.PEER if isinstance(book.declared.spec, PeerSpec) else Kind.GRANT
    row = RowRef(kind, str(book.row.id), book.row.name)
    place, origin = _place(book.declared.place), provenance.as_json()
    events: list[RowAdopted | RowReverted] = []
    if not book.row.managed:
        events.append(RowAdopted(row, place, origin))
    if book.corrects_digest:
        reverted = RowReverted(
            row,
            reason="its stored digest was changed by hand",
            digest=book.digest,
            spec=book.declared.spec.as_json(),
            fields=({"path": "digest", "old": book.row.digest, "new": book.digest},),
            place=place,
            origin=origin,
        )
        events.append(reverted)
    return events


def change_event(
    change: AnyChange, provenance: Provenance, ids: NewIds
) -> RowCreated | RowUpdated | RowReplaced:
    """Return the event of a change that is no revocation, of the row that lives on."""
    assert change.declared is not None
    new_id = ids.get((change.kind, change.name))
    old_id = change.row.id if change.row is not None else None
    return _EVENTS[change.action](
        RowRef(change.kind, str(new_id or old_id), change.name),
        reason=change.reason,
        digest=change.declared.digest,
        spec=change.declared.spec.as_json(),
        fields=tuple(field.as_json() for field in change.fields),
        managed=provenance.managed,
        replaces=str(old_id) if change.action is Action.REPLACE else None,
        place=_place(change.declared.place),
        origin=provenance.as_json(),
    )


def _place(place: SourceLocation) -> str:
    return f"{place.path}:{place.line}"
