"""The client of another gateway against the real endpoint, step-ca and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import pytest

from reconciler.clients.gateway.client import GatewayClient
from reconciler.core.model.states import GrantStatus
from reconciler.core.setting_values import LOOPBACK
from reconciler.crypto.certificates import fingerprint_of, read_certificate, verify_chain
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key, spki_sha256
from reconciler.errors import Refused
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.gateways.step_ca import authority
from tests.support.gateways.web_server import Parts, serving
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True)
class Alpha:
    """A gateway that serves, and its rows."""

    rows: Rows
    url: str
    roots: tuple[str, ...]

    def ask(self, story: Callable[[GatewayClient], Awaitable[T]]) -> T:
        async def run() -> T:
            pin = fingerprint_of(self.roots[0])
            async with GatewayClient.pinned(self.url, (pin,), LOOPBACK) as client:
                return await story(client)

        return asyncio.run(run())


@pytest.fixture
def alpha(database_url: str, tmp_path: Path) -> Iterator[Alpha]:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    address = ("127.0.0.1", free_port())
    url = f"https://127.0.0.1:{address[1]}"
    with authority(tmp_path, url) as ca:
        parts = Parts(rows.url, ca.roots, ca.client, public_url=url)
        with serving(parts, address=address):
            yield Alpha(rows, url, ca.roots)


def test_a_certificate_is_enrolled_picked_up_and_renewed(alpha: Alpha) -> None:
    token, key, next_key = alpha.rows.invite("beta-tasks"), generate_key(), generate_key()

    async def story(client: GatewayClient) -> None:
        assert client.roots == alpha.roots
        assert (await client.token_status(token)).status == "open"
        issued = await client.enroll(token, make_csr(key))
        assert await client.pickup(key) == issued
        assert issued.grant.name == "beta-tasks"
        assert issued.grant.status is GrantStatus.ACTIVE

        with alpha.rows.certificates_due():
            renewed = await client.renew(key, make_csr(next_key))
        assert renewed.serial != issued.serial
        assert renewed.grant == issued.grant
        facts = read_certificate(renewed.certificate)
        assert facts.spki_sha256 == spki_sha256(next_key.public_key())
        verify_chain(renewed.certificate, renewed.chain, client.roots, datetime.now(UTC))
        assert await client.pickup(next_key) == renewed

    alpha.ask(story)


def test_a_grant_is_told_to_its_keys_whatever_its_state(alpha: Alpha) -> None:
    token, key = alpha.rows.invite("beta-tasks"), generate_key()

    async def story(client: GatewayClient) -> None:
        issued = await client.enroll(token, make_csr(key))
        assert await client.grant(key) == issued.grant
        alpha.rows.apply(peer_manifest())  # the grant has left git
        assert (await client.grant(key)).status is GrantStatus.REVOKED
        for ask in (client.pickup(key), client.renew(key, make_csr(key))):
            with pytest.raises(Refused) as caught:
                await ask
            assert caught.value.code == "grant_ended"
        with pytest.raises(Refused) as caught:
            await client.grant(generate_key())
        assert caught.value.code == "proof_invalid"

    alpha.ask(story)
