"""A rename of a live row: its certificates and all that belongs to it stay in force."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.audit.event_base import RowRef, grant_ref
from reconciler.core.audit.row_events import RowRenamed, RowUpdated
from reconciler.core.model.spec import GrantSpec, Kind, spec_digest
from reconciler.errors import Refused
from reconciler.store import ending
from reconciler.store.apply.provenance import forget_readings
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json
from reconciler.store.lookup import NamedRow, find_row, live_grants_of

if TYPE_CHECKING:
    from reconciler.store.db import Tx


def rename(tx: Tx, kind: Kind, old: str, new: str, actor: str) -> None:
    """Give a live row another name; of a peer, its grants refer to the new one.

    Raises:
        Refused: `name_unknown`: no live row has the old name; `name_taken`: one has the new name,
            or an operator holds it.
    """
    row = _row_to_rename(tx, kind, old, new)
    grants = live_grants_of(tx, row.id) if kind is Kind.PEER else []
    ending.lock_peers(tx, [row.id] if kind is Kind.PEER else [])
    ending.lock_grants(tx, [each.id for each in grants] or [row.id])
    tx.run(f"UPDATE {ending.TABLES[kind]} SET name = :new WHERE id = :id", new=new, id=row.id)
    events: list[RowRenamed | RowUpdated] = [RowRenamed(RowRef(kind, str(row.id), new), old, new)]
    digests = []
    for grant in grants:
        assert isinstance(grant.spec, GrantSpec)
        spec = replace(grant.spec, peer=new)
        events.append(_peer_renamed(grant, spec, old))
        digests.append({"id": str(grant.id), "digest": spec_digest(spec)})
    tx.run(
        "UPDATE federation_grants AS g SET spec_digest = r.digest"
        " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, digest text)"
        " WHERE g.id = r.id",
        rows=as_json(digests),
    )
    forget_readings(tx)  # they have the old name, and would revoke the new one
    audit.append(tx, actor, events)


def _row_to_rename(tx: Tx, kind: Kind, old: str, new: str) -> NamedRow:
    label = kind.lower()
    if find_row(tx, kind, new) is not None:
        raise Refused(
            "name_taken",
            f"{kind.subject(new)} exists already, or an operator holds that name",
            hint=f"choose another name; see `mosaic federation {label} show {new}`",
        )
    row = find_row(tx, kind, old)
    if row is None or row.ended:
        raise Refused(
            "name_unknown",
            f"there is no live {kind.subject(old)}",
            hint=f"see `mosaic federation {label} list`",
        )
    return row


def _peer_renamed(grant: NamedRow, spec: GrantSpec, old: str) -> RowUpdated:
    return RowUpdated(
        grant_ref(grant.id, grant.name),
        reason="its peer was renamed",
        digest=spec_digest(spec),
        spec=spec.as_json(),
        fields=({"path": "peer", "old": old, "new": spec.peer, "effect": "neutral"},),
        managed=grant.managed,
    )
