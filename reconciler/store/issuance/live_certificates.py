"""The certificates that have not ended, as they were signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.store.db import Tx


def live_certificates(tx: Tx) -> list[str]:
    """Return every certificate that was issued and has not ended, revoked ones included, as PEM."""
    rows = tx.rows(
        "SELECT cert_pem FROM federation_certificates"
        " WHERE cert_pem IS NOT NULL AND not_after > statement_timestamp()"
    )
    return [row["cert_pem"] for row in rows]
