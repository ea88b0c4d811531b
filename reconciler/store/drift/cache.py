"""Drift for who asks often: it is found again once something has changed, or after a minute.

To find it, the whole audit log is read: 2 s with 10,000 grants.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from reconciler.store.drift.repair import drifted

if TYPE_CHECKING:
    from reconciler.core.drift.model import Drift
    from reconciler.store.db import Tx

MAX_AGE_S: Final = 60.0  # whoever owns the tables can change the audit log without a new record

# Sums that differ once a row does. Tables of which a role reads some columns show it no xmin.
_CHANGES: Final = """
SELECT (SELECT seq FROM federation_audit_head) AS seq,
    (SELECT max(this_update) FROM federation_crls) AS listed,
    (SELECT sum(CAST(CAST(xmin AS text) AS bigint)) FROM federation_grants) AS grants,
    (SELECT sum(hashtext(CAST(ROW(id, status) AS text))) FROM federation_certificates) AS issued,
    (SELECT sum(hashtext(CAST(ROW(id, name, direction, display_name, labels, endpoint_url, status,
        protect, hold, managed, spec_digest) AS text))) FROM federation_peers) AS peers
"""


class DriftCache:
    """What drifted in one database, as of its present rows and its newest record."""

    def __init__(self) -> None:
        self._known: tuple[dict[str, object], float, tuple[Drift, ...]] | None = None

    def drifted(self, tx: Tx) -> tuple[Drift, ...]:
        """Return what drifted."""
        changes = tx.one(_CHANGES)
        known = self._known
        if known is not None and known[0] == changes and time.monotonic() - known[1] < MAX_AGE_S:
            return known[2]
        drifts = drifted(tx)
        self._known = (changes, time.monotonic(), drifts)
        return drifts
