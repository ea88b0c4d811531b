"""Enrollment over HTTPS by a real `serve`, against bare signing by the same step-ca and client.

Each peer has a key of its own; connections are kept; PostgreSQL has fsync on, and each round tells
how long the processor worked for it besides.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import statistics
import time
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from benchmarks.measure import ROUNDS, Figure, compare
from reconciler.core.issuance.x509 import GrantIdentity
from reconciler.core.model.times import rfc3339
from reconciler.crypto.csr import make_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.ott import OttTime, Provisioner, grant_ott
from reconciler.store.issuance.tokens import mint
from tests.support.gateways.endpoints import gateway
from tests.support.gateways.enrollee import API, PEPPER, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from tests.support.gateways.endpoints import Gateway

ENROLLMENTS: Final = 160
CLIENTS: Final = 8
MANY_CLIENTS: Final = 16  # so that processes which share them by address have several each


@dataclass(frozen=True)
class Post:
    """One request, ready to be sent."""

    path: str
    body: dict[str, Any]
    headers: tuple[str, ...] = ()

    def octets(self) -> bytes:
        """Return the request as it is sent."""
        body = json.dumps(self.body).encode()
        head = (
            f"POST {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *self.headers,
        )
        return "\r\n".join((*head, "", "")).encode() + body


def figures() -> list[Figure]:
    """Return the figures of this subject."""
    with gateway(2, {"MOSAIC_WORKERS": "2"}, MOSAIC_RATE_LIMIT="0") as running:
        names = [f"grant-{number}" for number in range(ENROLLMENTS * (ROUNDS + 1) * 6)]
        running.rows.apply(peer_manifest(), *(grant_manifest(each) for each in names))
        fresh = iter(names)

        def enrollments() -> list[Post]:
            return _enrollments(running, list(islice(fresh, ENROLLMENTS)))

        first, second, shared = ([each.port] for each in running.endpoints)
        one, two = first, first + second
        costs: list[Cost] = []
        against_signing = compare(
            f"{ENROLLMENTS} enrollments, {CLIENTS} clients",
            lambda posts: costs.append(_enroll(running, one, posts[0])),
            "signing at step-ca",
            lambda posts: asyncio.run(send(running.roots, [running.ca.port], posts[1])),
            lambda: (enrollments(), [_signing(running) for _ in range(ENROLLMENTS)]),
        )
        with_two = compare(
            f"{ENROLLMENTS} enrollments, two processes",
            lambda posts: asyncio.run(send(running.roots, two, posts)),
            "one process",
            lambda posts: asyncio.run(send(running.roots, one, posts)),
            enrollments,
        )
        with_workers = compare(
            f"{ENROLLMENTS} enrollments, {MANY_CLIENTS} clients, --workers 2",
            lambda posts: asyncio.run(send(running.roots, shared, posts, MANY_CLIENTS)),
            "one process",
            lambda posts: asyncio.run(send(running.roots, one, posts, MANY_CLIENTS)),
            enrollments,
        )
    return [
        replace(against_signing, name=f"{against_signing.name}: {Cost.median(costs)}"),
        with_two,
        with_workers,
    ]


@dataclass(frozen=True)
class Cost:
    """What each enrollment of a round took: of a processor, and from the request to the answer."""

    cpu_ms: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def median(cls, costs: list[Cost]) -> Cost:
        """Return the median of the rounds."""
        return cls(
            *(statistics.median(values) for values in zip(*map(astuple, costs), strict=True))
        )

    def __str__(self) -> str:
        return f"CPU {self.cpu_ms:.1f}, p50 {self.p50_ms:.0f}, p99 {self.p99_ms:.0f} ms"


def _enroll(running: Gateway, ports: list[int], posts: list[Post]) -> Cost:
    began_s = running.endpoints[0].cpu_s
    latencies_s = asyncio.run(send(running.roots, ports, posts))
    cpu_s = running.endpoints[0].cpu_s - began_s
    p99_s = statistics.quantiles(latencies_s, n=100)[98]
    in_seconds = (cpu_s / len(posts), statistics.median(latencies_s), p99_s)
    return Cost(*(each * 1000 for each in in_seconds))


def _enrollments(running: Gateway, grants: list[str]) -> list[Post]:
    with running.rows.database.transaction() as tx:
        rows = tx.rows("SELECT id FROM federation_grants WHERE name = ANY(:names)", names=grants)
        minted = [mint(tx, each["id"], PEPPER, timedelta(hours=1), "user:bench") for each in rows]
    return [
        Post(
            f"{API}/enroll",
            {"csr": make_csr(generate_key())},
            (f"Authorization: Bearer {each.token.spelled()}",),
        )
        for each in minted
    ]


def _signing(running: Gateway) -> Post:
    csr, now = read_csr(make_csr(generate_key())), datetime.now(UTC)
    provisioner = Provisioner.load(running.ca.folder / "peers.json")
    leaf = GrantIdentity(str(uuid4()), "maria@alpha.example"), secrets.token_hex(8)
    time_ = OttTime(now, secrets.token_hex(32))
    ott = grant_ott(provisioner, running.ca.url, time_, csr, leaf)
    ends = rfc3339(now.replace(microsecond=0) + timedelta(hours=24))
    return Post("/1.0/sign", {"csr": csr.pem, "ott": ott, "notAfter": ends})


async def send(
    roots: tuple[str, ...], ports: list[int], posts: list[Post], clients: int = CLIENTS
) -> list[float]:
    """Send each request once, and return how long each took.

    A client has an address of its own, and keeps its connection.
    """
    assert posts
    context = ssl.create_default_context(cadata="".join(roots))
    left = [each.octets() for each in posts]
    latencies_s: list[float] = []

    async def client(number: int) -> None:
        port = ports[number % len(ports)]
        own = (f"127.0.1.{number + 1}", 0)
        opening = asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=own)
        reader, writer = await opening
        while left:
            request, began_s = left.pop(), time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 200 ")), head
            _, _, length = head.lower().partition(b"content-length: ")
            if length:
                await reader.readexactly(int(length.partition(b"\r\n")[0]))
            else:
                await reader.readuntil(b"\r\n0\r\n\r\n")  # the last chunk
            latencies_s.append(time.perf_counter() - began_s)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return latencies_s
