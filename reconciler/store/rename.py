"""Another name for a live row: what hangs on it, certificates included, goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.audit.event_base import RowRef, grant_ref
from reconciler.core.audit.row_events import RowRenamed, RowUpdated
from reconciler.core.model.spec import Kind, spec_digest
from reconciler.errors import Refused
from reconciler.store import ending
from reconciler.store.apply.observe import observe
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from reconciler.core.model.observed import Observed, ObservedGrant, ObservedPeer
    from reconciler.store.db import Tx


def rename(tx: Tx, kind: Kind, old: str, new: str, actor: str) -> None:
    """Give a live row another name; of a peer, its grants refer to the new one.

    Raises:
        Refused: `name_unknown`: no live row has the old name; `name_taken`: one has the new name,
            or an operator holds it.
    """
    observed = observe(tx)
    row = _checked(observed, kind, old, new)
    grants = [
        each
        for each in observed.grants
        if kind is Kind.PEER and each.peer_id == row.id and not each.ended
    ]
    ending.lock_peers(tx, [row.id] if kind is Kind.PEER else [])
    ending.lock_grants(tx, [each.id for each in grants] or [row.id])
    tx.run(f"UPDATE {ending.TABLES[kind]} SET name = :new WHERE id = :id", new=new, id=row.id)
    renamed = RowRenamed(RowRef(kind, str(row.id), new), old, new)
    events: list[RowRenamed | RowUpdated] = [
        renamed,
        *(_follow(grant, old, new) for grant in grants),
    ]
    digests = [
        {"id": str(each.id), "digest": spec_digest(replace(each.spec, peer=new))} for each in grants
    ]
    tx.run(
        "UPDATE federation_grants AS g SET spec_digest = r.digest"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, digest text)"
        " WHERE g.id = r.id",
        rows=as_json(digests),
    )
    audit.append(tx, actor, events)


def _checked(observed: Observed, kind: Kind, old: str, new: str) -> ObservedPeer | ObservedGrant:
    rows: list[ObservedPeer | ObservedGrant] = [
        *(observed.peers if kind is Kind.PEER else observed.grants)
    ]
    label = kind.lower()
    if any(row.name == new for row in rows):
        raise Refused(
            "name_taken",
            f"{label}/{new} is there already, or an operator holds that name",
            hint=f"choose another name; see `mosaic federation {label} show {new}`",
        )
    found = next((row for row in rows if row.name == old and not row.ended), None)
    if found is None:
        raise Refused(
            "name_unknown",
            f"there is no live {label}/{old}",
            hint=f"see `mosaic federation {label} list`",
        )
    return found


def _follow(grant: ObservedGrant, old: str, new: str) -> RowUpdated:
    spec = replace(grant.spec, peer=new)
    return RowUpdated(
        grant_ref(grant.id, grant.name),
        reason="its peer was renamed",
        digest=spec_digest(spec),
        spec=spec.as_json(),
        fields=({"path": "peer", "old": old, "new": new, "effect": "neutral"},),
        managed=grant.managed,
    )
