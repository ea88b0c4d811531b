"""What grows for ever, and what it costs: the same work beside 1,000 and 1,000,000 certificates.

An enrollment and a renewal are whole, over HTTPS and signed by step-ca. PostgreSQL counts the rows
of large tables that were read without an index, for the work of all kinds together: none may be.
"""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from reconciler.store.issuance.revocation_queue import claim_revocations
from reconciler.store.views.grants import show_grant
from tests.support.gateways.endpoints import scratch_database
from tests.support.gateways.enrollee import Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.step_ca import authority
from tests.support.gateways.web_server import Parts, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

SIZES: Final = (1_000, 1_000_000)  # certificates, with a token and a key each
RECORDS: Final = 1  # of the audit log, for each certificate
OWNERS: Final = 1_000  # grants that have them
TIMES: Final = 20
LARGE: Final = (
    *("federation_certificates", "federation_enrollment_tokens", "federation_keys"),
    "federation_audit_log",
)

_CERTIFICATES: Final = """
WITH owners AS (SELECT id, row_number() OVER (ORDER BY id) AS number FROM federation_grants
        WHERE name LIKE 'old-%'),
    made AS MATERIALIZED (SELECT gen_random_uuid() AS id, owners.id AS grant_id,
            lpad(to_hex(each + x'f0000000'::bigint), 64, '0') AS spki
        FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS each
        JOIN owners ON number = each % :owners + 1),
    keys AS (INSERT INTO federation_keys (spki_sha256, grant_id) SELECT spki, grant_id FROM made),
    tokens AS (INSERT INTO federation_enrollment_tokens (id, grant_id, public_id, mac, status,
            expires_at, created_by, claimed_spki, claimed_at)
        SELECT id, grant_id, translate(right(spki, 16), '0189', 'wxyz'), decode(spki, 'hex'),
            'spent', now(), 'bench', spki, now() FROM made)
INSERT INTO federation_certificates (id, grant_id, token_id, serial, spki_sha256, csr_pem, status,
    cert_pem, chain_pem, answer, fingerprint, not_before, not_after, issued_at, revoked_at)
SELECT id, grant_id, id, ltrim(spki, '0'), spki, 'csr', 'revoked', 'certificate', 'chain', 'answer',
    'sha256:' || spki, now(), now() + interval '24 hours', now(), now() FROM made
"""
_RECORDS: Final = """
WITH head AS (SELECT seq, hash FROM federation_audit_head),
    made AS (INSERT INTO federation_audit_log (seq, at, kind, actor, subject, body, prev, hash)
        SELECT seq + each, now(), 'bench.made', 'bench', 'grant/old-' || each % 1000,
            '{"data": {"id": "' || gen_random_uuid() || '"}}',
            CASE each WHEN 1 THEN hash ELSE sha256(int8send(seq + each - 1)) END,
            sha256(int8send(seq + each))
        FROM head, generate_series(1, CAST(:number AS bigint)) AS each)
UPDATE federation_audit_head SET seq = seq + :number, hash = sha256(int8send(seq + :number))
"""
_UNINDEXED: Final = """
SELECT coalesce(sum(seq_tup_read), 0)::bigint AS read FROM pg_stat_user_tables
WHERE relname = ANY(:large)
"""


@dataclass(frozen=True)
class Growth:
    """What one kind of work takes beside few and beside many certificates, in seconds."""

    name: str
    few_s: float
    many_s: float

    def as_json(self) -> dict[str, Any]:
        """Return the document of the figure."""
        return {
            "name": self.name,
            "seconds": {str(SIZES[0]): self.few_s, str(SIZES[1]): self.many_s},
            "ratio": round(self.many_s / self.few_s, 3),
        }

    def __str__(self) -> str:
        return (
            f"{self.name:<34} {self.many_s / self.few_s:6.2f} x"
            f"  {self.few_s * 1000:.2f} ms beside {SIZES[0]:,} certificates,"
            f" {self.many_s * 1000:.2f} ms beside {SIZES[1]:,}"
        )


def figures() -> Iterator[Growth]:
    """Yield the figures of this subject; fail if rows of a large table are read one by one."""
    with _running() as (rows, client):
        few = _seconds(rows, client, _grow(rows, 0, SIZES[0]))
        number = _grow(rows, SIZES[0], SIZES[1])
        before = rows.one(_UNINDEXED, large=list(LARGE))
        many = _seconds(rows, client, number)
        read = rows.one(_UNINDEXED, large=list(LARGE)) - before
    for name, few_s in few.items():
        yield Growth(name, few_s, many[name])
    assert read < SIZES[0], f"{read:,} rows of large tables were read without an index"


@contextmanager
def _running() -> Iterator[tuple[Rows, httpx.Client]]:
    with scratch_database() as (folder, url), authority(folder / "ca") as ca:
        rows = Rows(url)
        owners = [grant_manifest(f"old-{number}") for number in range(OWNERS)]
        new = [grant_manifest(f"new-{number}") for number in range(4 * TIMES)]
        rows.apply(peer_manifest(), *owners, *new)
        parts = Parts(url, ca.roots, ca.client)
        with serving(parts) as running, running.client() as client:
            yield rows, client


def _grow(rows: Rows, first: int, last: int) -> int:
    """Make what there is more; return the number of the first grant that is free to enroll."""
    rows.tamper(_CERTIFICATES, first=first + 1, last=last, owners=OWNERS)
    rows.tamper(_RECORDS, number=RECORDS * (last - first))
    for table in LARGE:
        rows.run(f"ANALYZE {table}")
    return 0 if first == 0 else 2 * TIMES


def _seconds(rows: Rows, client: httpx.Client, first: int) -> dict[str, float]:
    names = [f"new-{number}" for number in range(first, first + TIMES)]
    peers = [(Enrollee(), rows.invite(name)) for name in names]
    enrolled = [_timed(partial(peer.enroll, client, token)) for peer, token in peers]
    with rows.certificates_due():
        renewed = [_timed(partial(peer.renew, client, Enrollee())) for peer, _ in peers]
    serial = rows.one("SELECT serial FROM federation_certificates WHERE status = 'issued' LIMIT 1")
    ask = "SELECT * FROM federation_authority WHERE serial = :serial"
    with rows.database.transaction() as tx:
        return {
            "an enrollment": statistics.median(enrolled),
            "a renewal": statistics.median(renewed),
            "/authorize": _median(lambda: tx.rows(ask, serial=serial)),
            "the workers' next revocations": _median(lambda: claim_revocations(tx)),
            "grant show": _median(lambda: show_grant(tx, names[0])),
        }


def _median(work: Callable[[], object]) -> float:
    return statistics.median(_timed(work) for _ in range(TIMES))


def _timed(work: Callable[[], Any]) -> float:
    began_s = time.perf_counter()
    answer = work()
    took_s = time.perf_counter() - began_s
    assert getattr(answer, "status_code", 201) == 201, answer.text
    return took_s
