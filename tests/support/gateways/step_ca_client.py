"""A client of a real step-ca, what it is asked to sign, and what the CA's list has."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from reconciler.clients.http.connections import Timeouts
from reconciler.clients.step_ca.client import CaClient
from reconciler.core.issuance.x509 import ExpectedLeaf, GrantIdentity
from reconciler.crypto.ca_material import PROVISIONERS
from reconciler.crypto.certificates import read_crl
from reconciler.crypto.csr import VerifiedCsr, make_csr, read_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.ott import Provisioner
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.clients.step_ca.answers import GrantAnswer
    from tests.support.gateways.step_ca import Authority


T = TypeVar("T")
IDENTITY = GrantIdentity("0197a000-0000-7000-8000-000000000001", "maria@alpha.example")
IMPATIENT = Timeouts(connect_s=1, read_s=1, total_s=2)
HOUR = timedelta(hours=1)


def run(client: CaClient, ask: Callable[[CaClient], Awaitable[T]]) -> T:
    async def closing() -> T:
        async with client:
            return await ask(client)

    return asyncio.run(closing())


def impatient(ca: Authority, url: str = "", timeouts: Timeouts = IMPATIENT) -> CaClient:
    peers, gateway, revocations = (
        Provisioner.load(ca.folder / f"{name}.json") for name in PROVISIONERS
    )
    return CaClient(
        url or ca.url, ca.roots, peers, gateway, revocations=revocations, timeouts=timeouts
    )


def new_csr(common_name: str = "") -> VerifiedCsr:
    return read_csr(make_csr(generate_key(), common_name))


def new_serial() -> str:
    return format(secrets.randbits(158) | 1 << 157, "x")


def end(life: timedelta = HOUR) -> datetime:
    return (datetime.now(UTC) + life).replace(microsecond=0)


def sign(client: CaClient, serial: str = "", life: timedelta = HOUR) -> Awaitable[GrantAnswer]:
    csr = new_csr()
    return client.sign_grant(csr, expected(csr, serial, end(life)))


def expected(csr: VerifiedCsr, serial: str = "", not_after: datetime | None = None) -> ExpectedLeaf:
    bases = ("https://127.0.0.1/federation/v1/ca/crl",)
    ends = not_after or end()
    return ExpectedLeaf(IDENTITY, serial or new_serial(), csr.spki_sha256, ends, bases)


async def listed(client: CaClient, ca: Authority, serial: str) -> None:
    """Wait until the CA's list names a serial: it is made by the clock."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if serial in await revoked_serials(client, ca):
                return
            await asyncio.sleep(0.05)


async def revoked_serials(client: CaClient, ca: Authority) -> frozenset[str]:
    return read_crl(await client.crl(), ca.material.intermediate).serials
