"""An operator's holds, which win over git: taken and lifted under the lock, with their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.audit.event_base import grant_ref, peer_ref
from reconciler.core.audit.row_events import GrantResumed, GrantSuspended
from reconciler.core.model.observed import Hold
from reconciler.core.model.states import HoldKind, PeerStatus
from reconciler.errors import Refused
from reconciler.store import ending
from reconciler.store.audit import log as audit
from reconciler.store.views.grants import how_to_create_again, live_grant_id, show_grant
from reconciler.store.views.peers import show_peer

if TYPE_CHECKING:
    from reconciler.core.model.states import GrantStatus
    from reconciler.store.db import Tx

_NO_REASON = "revoked by an operator"


def suspend_grant(tx: Tx, name: str, actor: str, reason: str) -> None:
    """Suspend a grant until it is resumed; a pending one is suspended once its peer enrolls.

    A grant that is held already keeps its hold, with who took it and why, unless there is a reason.

    Raises:
        Refused: `name_unknown`, `state_conflict`.
    """
    grant_id = live_grant_id(tx, name)
    if not reason and show_grant(tx, name).hold is not None:
        return
    ending.hold_grant(tx, grant_id, Hold(HoldKind.SUSPEND, actor, tx.now(), reason))
    audit.append(tx, actor, [GrantSuspended(grant_ref(grant_id, name), reason)])


def revoke_grant(tx: Tx, name: str, actor: str, reason: str) -> None:
    """End a grant for good, and keep its name from being created again until it is resumed.

    Raises:
        Refused: `name_unknown`, `state_conflict`.
    """
    grant_id = live_grant_id(tx, name)
    hold = Hold(HoldKind.REVOKE, actor, tx.now(), reason)
    audit.append(tx, actor, ending.revoke_grants(tx, [grant_id], reason or _NO_REASON, hold=hold))


def resume_grant(tx: Tx, name: str, actor: str) -> GrantStatus:
    """Lift the hold of a grant; return the status that it has now.

    A grant that an operator revoked stays revoked: the next apply may create its name again.

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
            f"grant {name!r} has no hold: it is {grant.status}",
            hint=how_to_create_again(tx, grant)
            if grant.status.ended
            else "to change spec.suspended, edit its manifest in git",
        )
    ending.hold_grant(tx, row["id"], None)
    audit.append(tx, actor, [GrantResumed(grant_ref(row["id"], name), row["hold"])])
    return show_grant(tx, name).status


def revoke_peer(tx: Tx, name: str, actor: str, reason: str) -> None:
    """End a peer and its grants; the key of an outbound one is erased.

    Raises:
        Refused: `name_unknown`, `state_conflict`.
    """
    if show_peer(tx, name).status is PeerStatus.REVOKED:
        raise Refused("state_conflict", f"peer {name!r} is revoked already")
    row = tx.one(
        "SELECT id FROM federation_peers WHERE name = :name AND status <> 'revoked'", name=name
    )
    events = ending.revoke_peer(
        tx,
        peer_ref(row["id"], name),
        reason or _NO_REASON,
        grants_reason=f"its peer {name!r} was revoked by an operator",
        hold=Hold(HoldKind.REVOKE, actor, tx.now(), reason),
    )
    audit.append(tx, actor, events)
