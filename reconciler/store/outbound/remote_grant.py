"""The grant that an outbound peer's gateway gave us, as it describes it, and what it took back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.audit.certificate_events import PeerGrantRestored, PeerGrantWithdrawn
from reconciler.core.audit.event_base import peer_ref
from reconciler.core.issuance.withdrawal import GrantTerms, Withdrawal, widest, withdrawal_of
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from uuid import UUID

    from reconciler.core.issuance.contract import GrantDocument
    from reconciler.store.db import Tx


def store_grant(
    tx: Tx, peer_id: UUID, name: str, grant: GrantDocument, actor: str, *, enrolled: bool = False
) -> Withdrawal | None:
    """Store the grant as the other side describes it now; return what of it is taken back.

    A withdrawal, and its end, are each an audit record. A peer that is revoked stays as it is.
    With `enrolled`, nothing that was taken back before this enrollment counts.
    """
    row = tx.row(
        "SELECT grant_terms, withdrawn FROM federation_peers"
        " WHERE id = :id AND status <> 'revoked' FOR NO KEY UPDATE",
        id=peer_id,
    )
    if row is None:
        return None
    known = (
        None if enrolled or row["grant_terms"] is None else GrantTerms.from_json(row["grant_terms"])
    )
    before = None if row["withdrawn"] is None else Withdrawal.from_json(row["withdrawn"])
    same_grant = known is not None and known.grant_id == grant.id
    terms = widest(known, grant)
    withdrawn = withdrawal_of(terms, grant, before if same_grant else None, tx.now())
    tx.run(
        "UPDATE federation_peers SET remote_grant = CAST(:grant AS jsonb),"
        " grant_terms = CAST(:terms AS jsonb), withdrawn = CAST(:withdrawn AS jsonb)"
        " WHERE id = :id",
        id=peer_id,
        grant=as_json(grant.as_json()),
        terms=as_json(terms.as_json()),
        withdrawn=None if withdrawn is None else as_json(withdrawn.as_json()),
    )
    ref = peer_ref(peer_id, name)
    if withdrawn is None and before is not None:
        audit.append(tx, actor, [PeerGrantRestored(ref, grant.id)])
    elif withdrawn is not None and withdrawn != before:
        audit.append(tx, actor, [PeerGrantWithdrawn(ref, grant.id, str(withdrawn.what))])
    return withdrawn
