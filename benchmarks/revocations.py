"""Revocations by the workers against step-ca's own rate, and 10,000 at once.

The rate is that of a queue, against bare `POST /1.0/revoke` at the same step-ca by one client, and
by eight.

One apply ends 10,000 grants, each with a certificate; the workers carry all of it to step-ca, which
makes its list by the clock. Meanwhile peers enroll, one after the other, and one more grant is
revoked half-way. The machine's own bytes are counted: those of step-ca's process, and the WAL.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.enrollment import CLIENTS, Post, send
from benchmarks.measure import ROUNDS, Figure, compare
from reconciler.clients.step_ca.client import revoke_request
from reconciler.core.plan.guard import GuardOptions, MaxRemovals
from reconciler.crypto.ott import Provisioner
from reconciler.loops.workers import revoke_due, run_workers
from reconciler.reconcile import ApplyOptions
from reconciler.store.issuance.revocation_queue import BATCH
from tests.support.gateways.endpoints import scratch_database
from tests.support.gateways.enrollee import Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.step_ca import authority
from tests.support.gateways.web_server import Parts, Running, serving
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.gateways.step_ca import Authority

QUEUED = 500  # a round, whole batches
MANY = (1, CLIENTS)
REVOKED = 10_000
HONEST = 400  # grants to enroll under meanwhile, which is more than there is time for
ALL = ApplyOptions(GuardOptions(max_removals=MaxRemovals.parse("100%")))
LONGEST_S = 5.0  # that anything else may wait behind the revocations
PATIENCE_S = 1200.0

_CERTIFICATES = """
WITH of_grant AS (SELECT id, lpad(to_hex(row_number() OVER (ORDER BY id) + x'f0000000'::bigint),
        64, '0') AS spki FROM federation_grants WHERE {chosen}),
    keys AS (INSERT INTO federation_keys SELECT spki, id FROM of_grant),
    tokens AS (INSERT INTO federation_enrollment_tokens (id, grant_id, public_id, mac, status,
            expires_at, created_by, claimed_spki, claimed_at)
        SELECT id, id, translate(right(spki, 16), '0189', 'wxyz'), decode(spki, 'hex'), 'spent',
            now(), 'bench', spki, now() FROM of_grant)
INSERT INTO federation_certificates (id, grant_id, token_id, serial, spki_sha256, csr_pem, status,
    cert_pem, chain_pem, answer, fingerprint, not_before, not_after, issued_at)
SELECT id, id, id, ltrim(spki, '0'), spki, 'csr', 'issued', 'certificate', 'chain', 'answer',
    'sha256:' || spki, now(), now() + interval '24 hours', now() FROM of_grant
"""
_LEFT = "SELECT count(*) FROM federation_certificates WHERE status = 'revoking'"
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"


@dataclass(frozen=True)
class Line:
    """One measured value, as it is printed."""

    name: str
    value: str

    def as_json(self) -> dict[str, str]:
        """Return the document of the line."""
        return {"name": self.name.strip(), "value": self.value}

    def __str__(self) -> str:
        return f"{self.name:<60} {self.value}"


def figures() -> Iterator[Figure | Line]:
    """Yield the figures of this subject; fail where something waits too long."""
    with scratch_database() as (folder, url), authority(folder / "ca", period="30s") as ca:
        yield from _rates(Rows(url), Parts(url, ca.roots, ca.client), ca)
    with scratch_database() as (folder, url), authority(folder / "ca", period="30s") as ca:
        rows = Rows(url)
        parts = Parts(url, ca.roots, ca.client)
        with serving(parts) as running, running.client() as client:
            yield from _measure(rows, parts, running, client, ca)


def _rates(rows: Rows, parts: Parts, ca: Authority) -> Iterator[Figure]:
    names = [f"ended-{number}" for number in range(QUEUED * (ROUNDS + 1) * len(MANY))]
    rows.apply(peer_manifest(), *map(grant_manifest, names))
    rows.run(certificates_of("true"))
    rows.run("UPDATE federation_certificates SET status = 'revoking'")
    provisioner = Provisioner.load(ca.folder / "revocations.json")

    async def drain() -> None:
        gateway = parts.gateway()
        for _ in range(QUEUED // BATCH):
            assert await revoke_due(gateway)
        await gateway.ca.aclose()
        await gateway.database.close()

    def post() -> Post:
        serial = f"e{secrets.token_hex(16)}"
        return Post("/1.0/revoke", revoke_request(provisioner, ca.url, serial, "benchmark"))

    for clients in MANY:
        yield compare(
            f"{QUEUED} revocations by the workers",
            lambda _: asyncio.run(drain()),
            f"POST /1.0/revoke, clients: {clients}",
            partial(_send, parts, ca, clients),
            lambda: [post() for _ in range(QUEUED)],
        )


def _send(parts: Parts, ca: Authority, clients: int, posts: list[Post]) -> None:
    asyncio.run(send(parts.roots, [ca.port], posts, clients))


def certificates_of(chosen: str) -> str:
    """Return the statement that gives each grant of a condition a live certificate."""
    return _CERTIFICATES.format(chosen=chosen)


def _measure(
    rows: Rows, parts: Parts, running: Running, client: httpx.Client, ca: Authority
) -> Iterator[Line]:
    honest = [grant_manifest(f"honest-{number}") for number in range(HONEST)]
    ended = [grant_manifest(f"ended-{number}") for number in range(REVOKED)]
    rows.apply(peer_manifest(), *honest, *ended)
    rows.run(certificates_of("name LIKE 'ended-%'"))
    enrolling = _Enrolling(rows, client)
    peer = Enrollee()
    assert peer.enroll(client, rows.invite("honest-0")).status_code == 201
    written, wal = _written(ca), rows.one(_WAL)
    with enrolling, _Working(running, parts):
        began_s = time.monotonic()
        _apply_apart(rows, peer_manifest(), *honest)
        yield Line(f"one apply that ends {REVOKED:,} grants", _seconds(began_s))
        began_s = time.monotonic()
        wait_until(lambda: rows.one(_LEFT) < REVOKED / 2, "half of them", PATIENCE_S)
        _apply_apart(rows, peer_manifest(), *honest[1:])
        one_began_s = time.monotonic()
        one = "SELECT c.status FROM federation_certificates AS c JOIN federation_grants AS g"
        one += " ON g.id = c.grant_id WHERE g.name = 'honest-0'"
        wait_until(lambda: rows.one(one) == "revoked", "the one", PATIENCE_S)
        waited_s = time.monotonic() - one_began_s
        wait_until(lambda: rows.one(_LEFT) == 0, "all of them", PATIENCE_S)
        yield Line("  all of them revoked at step-ca", _seconds(began_s))
        yield Line("  one more grant, revoked at step-ca half-way", f"{waited_s:.2f} s")
        listed = "SELECT octet_length(der) FROM federation_crls"
        wait_until(lambda: rows.one(listed) > REVOKED * 30, "the list", PATIENCE_S)
        yield Line("  all of them in the list that peers fetch", _seconds(began_s))
        yield Line("  the list", f"{rows.one(listed) / 1e6:.2f} MB")
    yield Line("  written by step-ca", f"{(_written(ca) - written) / 1e6:.1f} MB")
    yield Line("  WAL of PostgreSQL", f"{(rows.one(_WAL) - wal) / 1e6:.1f} MB")
    slowest_s = max(enrolling.took_s)
    count = len(enrolling.took_s)
    yield Line(f"  {count} enrollments meanwhile, the slowest", f"{slowest_s:.2f} s")
    assert max(slowest_s, waited_s) < LONGEST_S, "something waited behind the revocations"


def _apply_apart(rows: Rows, *manifests: str) -> None:
    """Apply in a process of its own, as the command does: here it would hold up the server."""
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        apart.submit(rows.apply, *manifests, options=ALL).result()


class _Enrolling:
    """Peers that enroll one after the other, in a thread, until the block ends."""

    def __init__(self, rows: Rows, client: httpx.Client) -> None:
        self._rows, self._client = rows, client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.took_s: list[float] = []

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number in range(1, HONEST):
            token, peer = self._rows.invite(f"honest-{number}"), Enrollee()
            began_s = time.monotonic()
            answer = peer.enroll(self._client, token)
            assert answer.status_code == 201, answer.text
            self.took_s.append(time.monotonic() - began_s)
            if self._stop.wait(0.3):
                return


class _Working:
    """The workers of a gateway, in the loop of a server, until the block ends."""

    def __init__(self, running: Running, parts: Parts) -> None:
        self._running, self._parts = running, parts
        self._stop = asyncio.Event()

    def __enter__(self) -> None:
        self._done = asyncio.run_coroutine_threadsafe(self._run(), self._running.loop)

    def __exit__(self, *raised: object) -> None:
        self._running.loop.call_soon_threadsafe(self._stop.set)
        self._done.result(PATIENCE_S)

    async def _run(self) -> None:
        gateway = self._parts.gateway()
        await run_workers(gateway, self._stop)
        await gateway.ca.aclose()
        await gateway.database.close()


def _written(ca: Authority) -> int:
    """Return how many bytes step-ca had written to files (proc(5), io)."""
    assert ca.process is not None
    lines = Path(f"/proc/{ca.process.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def _seconds(began_s: float) -> str:
    return f"{time.monotonic() - began_s:.1f} s"
