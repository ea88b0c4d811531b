"""Enrollment over HTTPS, whole, against the bare signing by the same step-ca: what the rest costs.

Eight peers at a time on both sides, each with a key of its own; PostgreSQL with fsync on.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

from benchmarks.measure import Figure, compare
from reconciler.clients.step_ca.client import Signed
from reconciler.core.issuance.x509 import GrantIdentity
from reconciler.core.setting_values import RateLimit
from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import server_binaries
from reconciler.embedded.postgres.server import Cluster
from reconciler.store.db import Database
from reconciler.store.migrate import upgrade
from tests.support.gateways.enrollee import API, Rows, bearer, grant_manifest, peer_manifest
from tests.support.gateways.step_ca import Authority, authority
from tests.support.gateways.web_server import Parts, Running, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.issuance.tokens import Token

Request = tuple["Token", str]  # and a CSR

ENROLLMENTS = 64
AT_ONCE = 8
OFF = RateLimit(0, 0)


def figures() -> list[Figure]:
    """Return the figures of this subject."""
    with tempfile.TemporaryDirectory(prefix="mosaic-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, the database server runs as another account
        (folder / "ca").mkdir()
        with database(folder) as url, authority(folder / "ca") as ca:
            rows = Rows(url)
            names = [f"grant-{number}" for number in range(ENROLLMENTS)]
            rows.apply(peer_manifest(), *(grant_manifest(each) for each in names))
            parts = Parts(url, ca.roots, ca.client)
            with serving(parts, rate_limit=OFF) as running:
                return [
                    compare(
                        f"enroll {ENROLLMENTS} peers over HTTPS, {AT_ONCE} at once",
                        lambda requests: asyncio.run(_enroll(running, requests)),
                        "signing them at step-ca",
                        lambda requests: asyncio.run(_sign(ca, requests)),
                        lambda: [(rows.invite(each), make_csr(generate_key())) for each in names],
                    )
                ]


async def _enroll(running: Running, requests: list[Request]) -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(
        base_url=running.url, verify=running.tls, trust_env=False, timeout=60
    ) as client:

        async def one(token: Token, csr: str) -> None:
            async with slots:
                answer = await client.post(
                    f"{API}/enroll", headers=bearer(token), json={"csr": csr}
                )
                assert answer.status_code == 201, answer.text

        await asyncio.gather(*(one(token, csr) for token, csr in requests))


async def _sign(ca: Authority, requests: list[Request]) -> None:
    csrs = [read_csr(csr) for _, csr in requests]
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=24)
    async with ca.client() as client:
        answers = await asyncio.gather(
            *(
                client.sign_grant(csr, GrantIdentity(str(uuid4()), "x"), secrets.token_hex(8), ends)
                for csr in csrs
            )
        )
    assert all(isinstance(each, Signed) for each in answers)


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL with a migrated database until the block ends; give its URL."""
    account = server_account()
    cluster = Cluster(
        base=folder / "server",
        sockets=folder / "server" / "run",
        binaries=server_binaries(account),
        account=account,
        password=secrets.token_urlsafe(16),
        log=folder / "log",
    )
    clusters.ensure_running(cluster)
    try:
        upgrade(Database(cluster.url(), "benchmark"))
        yield cluster.url()
    finally:
        clusters.stop(cluster)
