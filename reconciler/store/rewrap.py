"""What is sealed, by which key, and sealing it again under another: small steps, safe to repeat."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final
from uuid import UUID

from reconciler.core.audit.certificate_events import KeyRewrapped
from reconciler.crypto.seal import seal, sealed_key_id, unseal
from reconciler.store.audit import log as audit
from reconciler.store.outbound.peers import NEXT_KEY, client_key_context

if TYPE_CHECKING:
    from reconciler.crypto.seal import KeyWrapper
    from reconciler.store.db import Tx

BATCH: Final = 100  # rows looked at in one transaction, and locked meanwhile
COLUMNS: Final = ("client_key_pem", NEXT_KEY)
FIRST: Final = UUID(int=0)  # before every row


def sealed_by_key(tx: Tx) -> Counter[str]:
    """Return how many values each key id seals."""
    rows = tx.rows("SELECT key_id, sealed FROM federation_sealed_values()")
    return Counter({row["key_id"]: row["sealed"] for row in rows})


def rewrap_batch(tx: Tx, keys: KeyWrapper, actor: str, after: UUID) -> tuple[int, UUID | None]:
    """Seal again under the primary key what another seals, in the `BATCH` rows that follow `after`.

    Return how many values that were, and the last row's id; None where there is no more.

    Raises:
        NeedsEdit: `keyring_invalid`: a value does not open.
    """
    rows = tx.rows(
        "SELECT id, name, client_key_pem, next_client_key_pem FROM federation_peers"
        " WHERE num_nonnulls(client_key_pem, next_client_key_pem) > 0 AND id > :after"
        " ORDER BY id LIMIT :batch FOR NO KEY UPDATE",
        after=after,
        batch=BATCH,
    )
    events = []
    for row, column in ((row, column) for row in rows for column in COLUMNS if row[column]):
        context, old = client_key_context(row["id"], column), bytes(row[column])
        if sealed_key_id(old) == keys.primary:
            continue
        tx.run(
            f"UPDATE federation_peers SET {column} = :sealed WHERE id = :id",
            id=row["id"],
            sealed=seal(unseal(old, context, keys), context, keys),
        )
        events.append(KeyRewrapped(sealed_key_id(old), keys.primary, f"peer/{row['name']}"))
    audit.append(tx, actor, events)
    return len(events), rows[-1]["id"] if rows else None
