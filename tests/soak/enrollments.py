"""Honest peers beside the attacks: each enrolls once, from an address of its own."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx

from tests.support.gateways.enrollee import API, Enrollee, bearer, grant_manifest, peer_manifest
from tests.support.gateways.web_server import trusting

if TYPE_CHECKING:
    from tests.support.gateways.endpoints import Gateway

INTERVAL_S: Final = 0.5


@dataclass
class Enrollments:
    """What became of the honest peers: seconds from the connection to the answer, and failures."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return the seconds within which that share was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def declare(gateway: Gateway, seconds: float, held: int) -> tuple[list[str], list[str]]:
    """Declare grants for honest peers, and `held` ones for attackers; return their names."""
    honest = [f"grant-{number}" for number in range(int(seconds / INTERVAL_S))]
    attackers = [f"held-{number}" for number in range(held)]
    manifests = (grant_manifest(name) for name in (*honest, *attackers))
    await asyncio.to_thread(gateway.rows.apply, peer_manifest(), *manifests)
    return honest, attackers


async def enroll_until(gateway: Gateway, names: list[str], end_s: float) -> Enrollments:
    """Enroll a peer every `INTERVAL_S`, at each endpoint in turn, until that monotonic time."""
    results, ports = Enrollments(), itertools.cycle(each.port for each in gateway.endpoints)
    async with asyncio.TaskGroup() as group:
        for number, name in enumerate(names):
            if time.monotonic() >= end_s:
                break
            group.create_task(_enroll(gateway, results, name, next(ports), number))
            await asyncio.sleep(INTERVAL_S)
    return results


async def _enroll(
    gateway: Gateway, results: Enrollments, name: str, port: int, number: int
) -> None:
    token = await asyncio.to_thread(gateway.rows.invite, name)
    peer = Enrollee()
    address = f"127.0.{200 + number // 250 % 50}.{1 + number % 250}"
    transport = httpx.AsyncHTTPTransport(verify=trusting(gateway.roots), local_address=address)
    url, body = f"https://127.0.0.1:{port}{API}/enroll", {"csr": peer.csr_pem()}
    async with httpx.AsyncClient(transport=transport, timeout=30) as client:
        begun_s = time.monotonic()
        try:
            answer = await client.post(url, headers=bearer(token), json=body)
        except httpx.HTTPError as error:
            results.failures.append(f"{name}: {type(error).__name__}: {error}")
            return
        results.seconds.append(time.monotonic() - begun_s)
    if answer.status_code != 201:
        results.failures.append(f"{name}: {answer.status_code}: {answer.text}")
