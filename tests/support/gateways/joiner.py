"""The side that joins: an outbound peer's row, a keyring, and the story run on both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.clients.gateway.client import GatewayConnector, utc_now
from reconciler.core.setting_values import LOOPBACK
from reconciler.crypto.keyring import FileKeyring, KeyringFolder
from reconciler.crypto.keys import load_private_key
from reconciler.crypto.seal import unseal
from reconciler.errors import MosaicError
from reconciler.join import Joiner, join
from reconciler.renew import Renewer, renew
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.outbound import peers
from reconciler.store.outbound.peers import client_key_context
from tests.support.gateways.enrollee import Rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from reconciler.core.issuance.invitation import Invitation
    from reconciler.crypto.keys import PrivateKey
    from reconciler.crypto.seal import KeyWrapper
    from reconciler.store.outbound.peers import Outbound

OUTBOUND = """
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {{name: alpha}}
spec: {{direction: outbound, endpoint: '{endpoint}'}}
"""
# lets what was issued be two thirds through its life, on each side
ALPHA_AGED = (
    "UPDATE federation_certificates SET not_before = not_before - interval '20 hours',"
    " not_after = not_after - interval '20 hours'"
)
AGED = (
    "UPDATE federation_peers SET cert_not_before = cert_not_before - interval '20 hours',"
    " cert_not_after = cert_not_after - interval '20 hours'"
)


@dataclass
class Beta:
    """The side that joins."""

    rows: Rows
    keys: KeyWrapper

    def run(
        self,
        story: Callable[[Joiner], Awaitable[Any]],
        clock: Callable[[], datetime] = utc_now,
        **options: Any,
    ) -> Any:
        async def with_database() -> Any:
            database = AsyncDatabase(self.rows.url, "beta", pool_size=2)
            connector = GatewayConnector(LOOPBACK, clock=clock)
            joiner = Joiner(database, self.keys, connector, "user:tests")
            try:
                return await story(replace(joiner, **options))
            finally:
                await database.close()

        return asyncio.run(with_database())

    def run_renewal(self, story: Callable[[Renewer], Awaitable[Any]]) -> Any:
        def renewer(joiner: Joiner) -> Renewer:
            return Renewer(joiner.database, joiner.keys, joiner.connector, joiner.actor)

        return self.run(lambda joiner: story(renewer(joiner)))

    def renew(self) -> None:
        self.run_renewal(lambda renewer: renew(renewer, self.held()))

    def join(self, invitation: Invitation, **options: Any) -> Outbound:
        outbound: Outbound = self.run(lambda joiner: join(joiner, "alpha", invitation), **options)
        return outbound

    def refused(self, invitation: Invitation, **options: Any) -> MosaicError:
        with pytest.raises(MosaicError) as caught:
            self.join(invitation, **options)
        return caught.value

    def held(self) -> Outbound:
        with self.rows.database.transaction() as tx:
            return peers.find(tx, "alpha")

    def key(self) -> PrivateKey:
        held = self.held()
        assert held.sealed_key is not None
        return load_private_key(unseal(held.sealed_key, client_key_context(held.id), self.keys))


def beta_of(database_url: str, keys: Path, endpoint: str) -> Beta:
    """Declare the outbound peer `alpha` in a migrated database."""
    rows = Rows(database_url)
    rows.apply(OUTBOUND.format(endpoint=endpoint))
    FileKeyring.create(keys)
    return Beta(rows, KeyringFolder(keys))
