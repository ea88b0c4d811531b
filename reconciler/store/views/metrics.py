"""What metrics tell of the rows: numbers, names of outbound peers, and nothing of a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.issuance.policy import renew_after
from reconciler.core.model.status_document import ENDS_WITHIN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.store.db import Tx

_GRANTS: Final = "SELECT status_now::text AS status, count(*) FROM federation_grants_now GROUP BY 1"
_PEERS: Final = """
SELECT direction::text, status::text, count(*) FROM federation_peers GROUP BY 1, 2
"""
_CERTIFICATES: Final = """
SELECT name, cert_not_before, cert_not_after FROM federation_peers
WHERE status = 'active' AND direction = 'outbound' AND cert_not_after IS NOT NULL ORDER BY name
"""
_ENDING: Final = """
SELECT d.days, count(g.id) FROM unnest(CAST(:days AS integer[])) AS d(days)
LEFT JOIN federation_grants_now AS g ON g.status_now NOT IN ('revoked', 'expired')
    AND g.expires_at <= statement_timestamp() + make_interval(days => d.days)
GROUP BY d.days
"""
# of an issuer that signs no more, the list is not renewed: the newest is that of the one that does
_TOTALS: Final = """
SELECT EXISTS (SELECT FROM federation_applied WHERE paused IS NOT NULL) AS paused,
    (SELECT count(*) FROM federation_certificates WHERE status = 'revoking') AS pending,
    (SELECT coalesce(extract(epoch FROM clock_timestamp()
            - min(coalesce(queued_at, created_at))), 0)::float8
        FROM federation_certificates WHERE status = 'revoking') AS oldest_s,
    (SELECT next_update FROM federation_crls ORDER BY this_update DESC LIMIT 1) AS crl_next_update,
    (SELECT seq FROM federation_audit_head) AS audit_head,
    (SELECT count(*) FROM federation_grants WHERE hold IS NOT NULL)
        + (SELECT count(*) FROM federation_peers WHERE hold IS NOT NULL) AS holds,
    (SELECT count(*) FROM federation_theft_signals WHERE acknowledged_at IS NULL) AS thefts
"""


@dataclass(frozen=True, slots=True)
class OutboundCertificate:
    """When the certificate of an active outbound peer is due for renewal, and when it ends."""

    peer: str
    renew_after: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class RowMetrics:
    """The numbers of one moment; `ending` is by days, each with those of fewer days."""

    grants: Mapping[str, int]
    peers: Mapping[tuple[str, str], int]
    certificates: tuple[OutboundCertificate, ...]
    ending: Mapping[int, int]
    paused: bool
    revocations_pending: int
    revocation_oldest_s: float
    crl_next_update: datetime | None
    audit_head: int
    holds: int
    theft_signals: int


def row_metrics(tx: Tx) -> RowMetrics:
    """Return the numbers of now."""
    totals = tx.one(_TOTALS)
    return RowMetrics(
        grants={row["status"]: row["count"] for row in tx.rows(_GRANTS)},
        peers={(row["direction"], row["status"]): row["count"] for row in tx.rows(_PEERS)},
        certificates=tuple(
            OutboundCertificate(
                row["name"],
                renew_after(row["cert_not_before"], row["cert_not_after"]),
                row["cert_not_after"],
            )
            for row in tx.rows(_CERTIFICATES)
        ),
        ending={row["days"]: row["count"] for row in tx.rows(_ENDING, days=list(ENDS_WITHIN))},
        paused=totals["paused"],
        revocations_pending=totals["pending"],
        revocation_oldest_s=totals["oldest_s"],
        crl_next_update=totals["crl_next_update"],
        audit_head=totals["audit_head"],
        holds=totals["holds"],
        theft_signals=totals["thefts"],
    )
