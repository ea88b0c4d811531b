"""Every metric: its name, type and labels, what it means, and which processes have it. One table.

A label holds a value of a closed set or the name of a peer, and nothing that a client can choose:
so there are few series, and nothing of a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reconciler.core.model.spec import Direction
from reconciler.core.model.states import GrantStatus, PeerStatus
from reconciler.core.model.status_document import ENDS_WITHIN
from reconciler.core.telemetry import CaOutcome, PassResult

ALLOWED: Final = "allowed"
ISSUED: Final = "issued"
FAST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class MetricType(StrEnum):
    """The type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Part(StrEnum):
    """What a process does, and so can tell of."""

    PROCESS = "process"
    ENDPOINT = "endpoint"
    AUTHORITY = "authority"
    LOOP = "loop"
    ROWS = "rows"


PARTS: Final[dict[str, frozenset[Part]]] = {  # by verb
    "up": frozenset(Part),
    "serve": frozenset(Part) - {Part.LOOP},
    "run": frozenset({Part.PROCESS, Part.LOOP, Part.ROWS}),
    "authority": frozenset({Part.PROCESS, Part.AUTHORITY}),
}


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric; the values of labels in `initial` are there from the start, with zero."""

    name: str
    kind: MetricType
    part: Part
    meaning: str
    labels: tuple[str, ...] = ()
    initial: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = FAST_S


BUILD_INFO: Final = Definition(
    "mosaic_build_info",
    MetricType.GAUGE,
    Part.PROCESS,
    "1, with the version of this program, the commit that it was built from, and its Python",
    ("version", "commit", "python"),
)
REQUESTS: Final = Definition(
    "mosaic_http_requests_total",
    MetricType.COUNTER,
    Part.PROCESS,
    "HTTP requests that were answered, of both listeners; the route `pages` is all pages of the"
    " private one, and `other` a path that is unknown",
    ("route", "status"),
)
REQUEST_DURATION: Final = Definition(
    "mosaic_http_request_duration_seconds",
    MetricType.HISTOGRAM,
    Part.PROCESS,
    "the time from a request's head to the end of its answer",
)
ENROLLMENTS: Final = Definition(
    "mosaic_enrollments_total",
    MetricType.COUNTER,
    Part.ENDPOINT,
    "requests to enroll by their outcome: `issued`, or the code of the problem",
    ("outcome",),
    ((ISSUED,),),
)
CA_DURATION: Final = Definition(
    "mosaic_ca_request_duration_seconds",
    MetricType.HISTOGRAM,
    Part.ENDPOINT,
    "requests to step-ca: `sign`, `revoke`, `crl` and others; their outcome is `ok`, `refused`"
    " (4xx) or `unavailable`",
    ("call", "outcome"),
    # a rate is known from the second value on, and the first failure must count
    tuple((call, outcome) for call in ("sign", "revoke", "crl") for outcome in CaOutcome),
    buckets=SLOW_S,
)
RENEWAL_FAILURES: Final = Definition(
    "mosaic_renewal_failures_total",
    MetricType.COUNTER,
    Part.ENDPOINT,
    "renewals at an outbound peer that failed, by the code of the error",
    ("peer", "code"),
)
DECISIONS: Final = Definition(
    "mosaic_authority_decisions_total",
    MetricType.COUNTER,
    Part.AUTHORITY,
    "answers of `/authorize`: `allowed`, or the code of the problem",
    ("code",),
    ((ALLOWED,),),
)
PASSES: Final = Definition(
    "mosaic_reconcile_passes_total",
    MetricType.COUNTER,
    Part.LOOP,
    "passes of the loop: `applied`, `unchanged` or `failed`; `code` is that of the error",
    ("result", "code"),
    ((PassResult.APPLIED, ""), (PassResult.UNCHANGED, "")),
)
PASS_DURATION: Final = Definition(
    "mosaic_reconcile_duration_seconds",
    MetricType.HISTOGRAM,
    Part.LOOP,
    "the duration of a pass of the loop",
    buckets=SLOW_S,
)
LAST_SUCCESS: Final = Definition(
    "mosaic_reconcile_last_success_timestamp_seconds",
    MetricType.GAUGE,
    Part.LOOP,
    "when a pass of this loop last succeeded; 0 until the first",
)
DATABASE_UP: Final = Definition(
    "mosaic_database_up",
    MetricType.GAUGE,
    Part.ROWS,
    "1 if the rows could be read; if 0, the metrics of rows are absent",
)
PAUSED: Final = Definition(
    "mosaic_reconcile_paused", MetricType.GAUGE, Part.ROWS, "1 while a person has paused the loops"
)
GRANTS: Final = Definition(
    "mosaic_grants",
    MetricType.GAUGE,
    Part.ROWS,
    "grants by their status now",
    ("status",),
    tuple((status,) for status in GrantStatus),
)
PEERS: Final = Definition(
    "mosaic_peers",
    MetricType.GAUGE,
    Part.ROWS,
    "peers by direction and status",
    ("direction", "status"),
    tuple((direction, status) for direction in Direction for status in PeerStatus),
)
DRIFTED: Final = Definition(
    "mosaic_drifted_objects",
    MetricType.GAUGE,
    Part.ROWS,
    "objects that differ from what was last applied; `mosaic federation drift` lists them",
)
NOT_AFTER: Final = Definition(
    "mosaic_certificate_not_after_timestamp_seconds",
    MetricType.GAUGE,
    Part.ROWS,
    "when the certificate that an outbound peer issued to this gateway expires",
    ("peer",),
)
RENEW_AFTER: Final = Definition(
    "mosaic_certificate_renew_after_timestamp_seconds",
    MetricType.GAUGE,
    Part.ROWS,
    "when that certificate is due for renewal",
    ("peer",),
)
REVOCATIONS: Final = Definition(
    "mosaic_revocations_pending",
    MetricType.GAUGE,
    Part.ROWS,
    "certificates that are revoked here, and not at the CA yet",
)
OLDEST_REVOCATION: Final = Definition(
    "mosaic_revocation_oldest_seconds",
    MetricType.GAUGE,
    Part.ROWS,
    "the age of the oldest of them; 0 if there is none",
)
CRL_NEXT_UPDATE: Final = Definition(
    "mosaic_crl_next_update_timestamp_seconds",
    MetricType.GAUGE,
    Part.ROWS,
    "until when the stored revocation list is valid; absent if there is none",
)
AUDIT_HEAD: Final = Definition(
    "mosaic_audit_head",
    MetricType.GAUGE,
    Part.ROWS,
    "the number of the newest record of the audit log",
)
HOLDS: Final = Definition("mosaic_holds", MetricType.GAUGE, Part.ROWS, "holds on grants and peers")
ENDING: Final = Definition(
    "mosaic_grants_ending",
    MetricType.GAUGE,
    Part.ROWS,
    "live grants that expire within that time; each count includes those of a shorter time",
    ("within",),
    tuple((f"{days}d",) for days in ENDS_WITHIN),
)
THEFT_SIGNALS: Final = Definition(
    "mosaic_theft_signals",
    MetricType.GAUGE,
    Part.ROWS,
    "signs of theft that nobody has acknowledged",
)

DEFINITIONS: Final = (
    BUILD_INFO,
    REQUESTS,
    REQUEST_DURATION,
    ENROLLMENTS,
    CA_DURATION,
    RENEWAL_FAILURES,
    DECISIONS,
    PASSES,
    PASS_DURATION,
    LAST_SUCCESS,
    DATABASE_UP,
    PAUSED,
    GRANTS,
    PEERS,
    ENDING,
    HOLDS,
    DRIFTED,
    NOT_AFTER,
    RENEW_AFTER,
    REVOCATIONS,
    OLDEST_REVOCATION,
    CRL_NEXT_UPDATE,
    THEFT_SIGNALS,
    AUDIT_HEAD,
)
