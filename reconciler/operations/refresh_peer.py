"""`peer show --refresh`: ask another gateway what has become of the grant that it gave us."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.clients.gateway.client import GatewayConnector
from reconciler.config import require
from reconciler.crypto.keyring import FileKeyring
from reconciler.renew import Renewer, refresh_grant
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.locks import actor_name, application_name
from reconciler.store.outbound.peers import certified

if TYPE_CHECKING:
    from reconciler.config import Settings
    from reconciler.store.db import Database


def refresh_peer(settings: Settings, database: Database, name: str) -> None:
    """Ask the gateway of an outbound peer, and store what it says.

    Raises:
        MosaicError: `name_unknown`, `state_conflict`; what `refresh_grant` raises.
    """
    keys = FileKeyring.load(require(settings.keyring, "keyring"))
    connector = GatewayConnector(settings.allow_addresses, settings.oid_arc, settings.peer_proxy)

    async def ask() -> None:
        rows = AsyncDatabase(
            database.source, application_name("peer show"), pool_size=2, lasting=False
        )
        try:
            held = await rows.run(certified, name)
            await refresh_grant(Renewer(rows, keys, connector, f"user:{actor_name()}"), held)
        finally:
            await rows.close()

    asyncio.run(ask())
