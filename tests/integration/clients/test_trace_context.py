"""The trace of a request goes on to whom this gateway asks for it, and to nobody without one."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler import log
from reconciler.clients.gateway.client import GatewayClient
from reconciler.clients.step_ca.client import CaClient
from reconciler.core.setting_values import LOOPBACK
from reconciler.core.trace import read_traceparent
from reconciler.crypto.ca_material import PEERS, new_ca
from reconciler.crypto.certificates import fingerprint_of
from reconciler.crypto.ott import Provisioner
from tests.support.gateways.enrollee import Enrollee, Rows, bearer, grant_manifest, peer_manifest
from tests.support.gateways.liar import ROOTS, lying
from tests.support.gateways.web_server import Parts, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gateways.liar import Liar
    from tests.support.gateways.step_ca import Authority

TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CA: Final = new_ca("Alpha", datetime.now(UTC))


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying(CA) as made:
        yield made


class _Divided(CaClient):
    """The client of a CA that certifies the endpoint honestly, and lies to peers."""

    def __init__(self, honest: CaClient, url: str, provisioner: Path) -> None:
        super().__init__(url, [CA.root], Provisioner.load(provisioner))
        self._honest = honest

    async def sign_server(self, *args: Any) -> Any:
        return await self._honest.sign_server(*args)

    async def aclose(self) -> None:
        await self._honest.aclose()
        await super().aclose()


def headers(liar: Liar, call: str) -> list[str | None]:
    return [sent.get("traceparent") for name, sent, _ in liar.heard if name == call]


@pytest.mark.parametrize("header", [TRACEPARENT, "", TRACEPARENT.upper()])
def test_the_ca_is_asked_with_the_valid_trace_of_the_enrollment(
    liar: Liar, tmp_path: Path, database_url: str, shared_authority: Authority, header: str
) -> None:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("one"))
    (tmp_path / "peers.json").write_text(json.dumps(CA.provisioners[PEERS]))
    made = _Divided(shared_authority.client(), liar.url, tmp_path / "peers.json")
    parts = Parts(rows.url, shared_authority.roots, lambda: made)
    with serving(parts) as running, running.client() as client:
        sent = bearer(rows.invite("one")) | ({"traceparent": header} if header else {})
        body = {"csr": Enrollee().csr_pem()}
        answer = client.post("/federation/v1/enroll", headers=sent, json=body)
    assert answer.status_code == 503, answer.text
    assert headers(liar, "POST /1.0/sign") == [header if header == TRACEPARENT else None]


def test_another_gateway_is_asked_with_the_trace_and_without_one_when_there_is_none(
    liar: Liar,
) -> None:
    async def connect() -> None:
        async with GatewayClient.pinned(liar.url, (fingerprint_of(CA.root),), LOOPBACK):
            pass

    async def connect_twice() -> None:
        with log.about(trace=read_traceparent([TRACEPARENT])):
            await connect()
        await connect()

    asyncio.run(connect_twice())
    assert headers(liar, ROOTS) == [TRACEPARENT, TRACEPARENT, None, None]
