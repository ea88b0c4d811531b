"""A gateway on rows and a CA: its endpoint, a turn of its workers, and the list of the CA."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.crypto.certificates import read_crl
from reconciler.errors import Retry
from reconciler.loops.workers import recover, refresh_crl, revoke_due
from tests.support.gateways.web_server import Parts, Running, serving

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from reconciler.enroll import Gateway
    from tests.support.gateways.enrollee import Rows
    from tests.support.gateways.step_ca import Authority


def parts(rows: Rows, ca: Authority) -> Parts:
    return Parts(rows.url, ca.roots, ca.client)


def parts_of(rows: Rows, ca: Authority) -> AbstractContextManager[Running]:
    return serving(parts(rows, ca))


def run_workers_once(rows: Rows, ca: Authority) -> None:
    async def run() -> None:
        gateway = parts(rows, ca).gateway()
        try:
            await recover(gateway)
            await revoke_due(gateway)
            with suppress(Retry):  # the CA is down
                await refresh_crl(gateway)
        finally:
            await close(gateway)

    asyncio.run(run())


def crl_serials(rows: Rows, ca: Authority) -> frozenset[str]:
    async def run() -> frozenset[str]:
        gateway = parts(rows, ca).gateway()
        try:
            issuers = await gateway.ca.intermediates()
            return read_crl(await gateway.ca.crl(), issuers[0]).serials
        finally:
            await close(gateway)

    return asyncio.run(run())


async def close(gateway: Gateway) -> None:
    await gateway.ca.aclose()
    await gateway.database.close()
