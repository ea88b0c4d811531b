"""An operator's holds, which win over git, under the lock, with their audit rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.audit.chain import Event
from reconciler.core.model.observed import Hold
from reconciler.core.model.states import GrantStatus, HoldKind, PeerStatus, live_grant_status
from reconciler.errors import Refused
from reconciler.store import ending
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json
from reconciler.store.views.grants import live_grant_id, show_grant
from reconciler.store.views.peers import show_peer

if TYPE_CHECKING:
    from uuid import UUID

    from reconciler.store.db import Tx


def suspend_grant(tx: Tx, name: str, actor: str, reason: str) -> None:
    """Withhold a grant's authority until it is resumed; a pending one enrolls into suspension.

    Raises:
        Refused: `name_unknown`, `state_conflict`.
    """
    grant_id = live_grant_id(tx, name)
    hold = Hold(HoldKind.SUSPEND, actor, tx.now(), reason)
    _set_hold(tx, grant_id, hold)
    data = {"reason": reason, "id": str(grant_id)}
    audit.append(tx, [Event("grant.suspended", actor, f"grant/{name}", data)])


def revoke_grant(tx: Tx, name: str, actor: str, reason: str) -> None:
    """End a grant for good, and keep its name from being created again until it is resumed.

    Raises:
        Refused: `name_unknown`, `state_conflict`.
    """
    grant_id = live_grant_id(tx, name)
    hold = Hold(HoldKind.REVOKE, actor, tx.now(), reason)
    _drop_older_hold(tx, "federation_grants", name)
    said = reason or "revoked by an operator"
    events = ending.revoke_grants(tx, [grant_id], actor, said, hold=hold)
    audit.append(tx, events)


def resume_grant(tx: Tx, name: str, actor: str) -> GrantStatus:
    """Lift the hold of a grant; return the status that it has now.

    A grant that an operator revoked stays revoked: the next apply may create its name anew.

    Raises:
        Refused: `name_unknown`; `state_conflict`: nothing holds it.
    """
    row = tx.row(
        "SELECT id, hold FROM federation_grants WHERE name = :name AND (hold ->> 'kind' = 'revoke'"
        " OR (hold IS NOT NULL AND status NOT IN ('revoked', 'expired')))"
        " ORDER BY status IN ('revoked', 'expired'), created_at DESC LIMIT 1",
        name=name,
    )
    if row is None:
        grant = show_grant(tx, name)
        raise Refused(
            "state_conflict",
            f"no operator holds grant {name!r}: it is {grant.status}",
            hint="what git says of it (spec.suspended) is changed in git",
        )
    _set_hold(tx, row["id"], None)
    data = {"lifted": row["hold"], "id": str(row["id"])}
    audit.append(tx, [Event("grant.resumed", actor, f"grant/{name}", data)])
    return show_grant(tx, name).status


def revoke_peer(tx: Tx, name: str, actor: str, reason: str) -> None:
    """End a peer and its grants; the key of an outbound one is erased.

    Raises:
        Refused: `name_unknown`, `state_conflict`.
    """
    if show_peer(tx, name).status is PeerStatus.REVOKED:
        raise Refused("state_conflict", f"peer {name!r} is revoked already")
    row = tx.row(
        "SELECT id FROM federation_peers WHERE name = :name AND status <> 'revoked'"
        " FOR NO KEY UPDATE",
        name=name,
    )
    assert row is not None
    _drop_older_hold(tx, "federation_peers", name)
    grants = tx.rows(
        "SELECT id FROM federation_grants WHERE peer_id = :id"
        " AND status NOT IN ('revoked', 'expired') ORDER BY id",
        id=row["id"],
    )
    said = f"its peer {name!r} was revoked by an operator"
    events = ending.revoke_grants(tx, [each["id"] for each in grants], actor, said)
    hold = Hold(HoldKind.REVOKE, actor, tx.now(), reason)
    tx.run(
        "UPDATE federation_peers SET status = 'revoked', revoked_at = clock_timestamp(),"
        " revoked_reason = :reason, hold = CAST(:hold AS jsonb), client_key_pem = NULL,"
        " next_client_key_pem = NULL, next_csr_pem = NULL"
        " WHERE id = :id",
        id=row["id"],
        reason=reason or "revoked by an operator",
        hold=as_json(hold.as_json()),
    )
    data = {"reason": reason, "id": str(row["id"])}
    audit.append(tx, [*events, Event("peer.revoked", actor, f"peer/{name}", data)])


def _set_hold(tx: Tx, grant_id: UUID, hold: Hold | None) -> None:
    ending.lock_grants(tx, [grant_id])
    row = tx.row("SELECT status, suspended FROM federation_grants WHERE id = :id", id=grant_id)
    assert row is not None
    suspended = row["suspended"] or hold is not None
    tx.run(
        "UPDATE federation_grants SET hold = CAST(:hold AS jsonb),"
        " status = CAST(:status AS federation_grant_status) WHERE id = :id",
        id=grant_id,
        hold=as_json(hold.as_json()) if hold is not None else None,
        status=str(live_grant_status(GrantStatus(row["status"]), suspended=suspended)),
    )


def _drop_older_hold(tx: Tx, table: str, name: str) -> None:
    # a name is held once: by the row that was revoked last
    tx.run(f"UPDATE {table} SET hold = NULL WHERE name = :name AND status = 'revoked'", name=name)
