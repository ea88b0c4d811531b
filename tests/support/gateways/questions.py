"""Questions to another gateway through its client, and true answers to begin a lie with."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.clients.gateway.client import GatewayClient
from reconciler.clients.http.connections import Timeouts
from reconciler.clients.http.destination import DIRECT
from reconciler.core.issuance.tokens import new_token
from reconciler.core.setting_values import LOOPBACK
from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.certificates import fingerprint_of
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from reconciler.errors import MosaicError
from tests.support.gateways.liar import API, Liar, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.core.setting_values import Network, ProxyRules

CA = new_ca("Alpha", datetime.now(UTC))
PIN = fingerprint_of(CA.root)
TOKEN = new_token(b"0123456789", b"s" * 32)
KEY = generate_key()
ENROLL = f"POST {API}/enroll"
PICKUP = f"POST {API}/certificates/pickup"
QUICK = Timeouts(connect_s=1, read_s=1, total_s=2)

GRANT: dict[str, Any] = {
    "id": "0197a000-0000-7000-8000-000000000001",
    "name": "beta-tasks",
    "peer": "beta",
    "subjectUserId": "alice",
    "scope": {"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 5},
    "status": "active",
    "expiresAt": "2030-01-01T00:00:00Z",
}
ISSUED: dict[str, Any] = {
    "certificate": CA.root,
    "chain": [CA.intermediate],
    "serial": "1f",
    "fingerprint": f"sha256:{'0' * 64}",
    "notBefore": "2026-01-01T00:00:00Z",
    "notAfter": "2026-01-02T00:00:00Z",
    "renewAfter": "2026-01-01T16:00:00Z",
    "grant": GRANT,
}


def call(
    liar: Liar | str,
    ask: Callable[[GatewayClient], Awaitable[Any]],
    *,
    pin: str | tuple[str, ...] = PIN,
    allow: tuple[Network, ...] = LOOPBACK,
    timeouts: Timeouts = QUICK,
    rules: ProxyRules = DIRECT,
) -> Any:
    async def run() -> Any:
        url = liar if isinstance(liar, str) else liar.url
        pins = (pin,) if isinstance(pin, str) else pin
        async with GatewayClient.pinned(url, pins, allow, timeouts=timeouts, rules=rules) as client:
            return await ask(client)

    return asyncio.run(run())


def refusal(*args: Any, **kwargs: Any) -> MosaicError:
    with pytest.raises(MosaicError) as caught:
        call(*args, **kwargs)
    return caught.value


async def connect(client: GatewayClient) -> GatewayClient:
    return client


async def status(client: GatewayClient) -> Any:
    return await client.token_status(TOKEN)


async def enroll(client: GatewayClient) -> Any:
    return await client.enroll(TOKEN, make_csr(KEY))


async def pickup(client: GatewayClient) -> Any:
    return await client.pickup(KEY)


def as_json(document: Any, http_status: int = 200, **headers: str) -> Response:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response(http_status, json.dumps(document).encode(), named)
