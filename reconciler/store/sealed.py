"""What is sealed, by which key, and sealing it again under another: small steps, safe to repeat."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from reconciler.core.audit import Event
from reconciler.crypto.seal import seal, sealed_key_id, unseal
from reconciler.store import audit
from reconciler.store.outbound import client_key_context

if TYPE_CHECKING:
    from reconciler.crypto.seal import KeyWrapper
    from reconciler.store.tx import Tx

BATCH: Final = 100  # rows sealed again in one transaction


def sealed_by_key(tx: Tx) -> Counter[str]:
    """Return how many values each key id seals."""
    rows = tx.rows("SELECT client_key_pem FROM federation_peers WHERE client_key_pem IS NOT NULL")
    return Counter(sealed_key_id(bytes(row["client_key_pem"])) for row in rows)


def rewrap_batch(tx: Tx, keys: KeyWrapper, actor: str) -> int:
    """Seal up to `BATCH` values, which another key seals, under the primary one; return how many.

    Raises:
        NeedsEdit: `keyring_invalid`: a value does not open.
    """
    rows = tx.rows(
        "SELECT id, name, client_key_pem FROM federation_peers WHERE client_key_pem IS NOT NULL"
        " ORDER BY id FOR NO KEY UPDATE"
    )
    others = [row for row in rows if sealed_key_id(bytes(row["client_key_pem"])) != keys.primary][
        :BATCH
    ]
    events = []
    for row in others:
        context = client_key_context(row["id"])
        old = bytes(row["client_key_pem"])
        tx.run(
            "UPDATE federation_peers SET client_key_pem = :sealed WHERE id = :id",
            id=row["id"],
            sealed=seal(unseal(old, context, keys), context, keys),
        )
        data = {"from": sealed_key_id(old), "to": keys.primary}
        events.append(Event("key.rewrapped", actor, f"peer/{row['name']}", data))
    audit.append(tx, events)
    return len(others)
