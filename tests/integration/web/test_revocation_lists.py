"""Revocation lists as they are sent: their octets are there once, however many read them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.crypto.certificates import CrlFacts
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.db import Database
from reconciler.store.issuance.crl import store_crl
from reconciler.web import revocation_lists
from reconciler.web.revocation_lists import RevocationLists

if TYPE_CHECKING:
    import pytest


def store(url: str, issuer: str, der: bytes) -> None:
    now = datetime.now(UTC)
    facts = CrlFacts(issuer, 7, now, now + timedelta(hours=24), frozenset())
    with Database(url, "tests").transaction() as tx:
        store_crl(tx, facts, der)


def test_all_who_read_a_list_share_its_octets_until_it_changes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_lists, "CACHE_S", 0.0)

    async def run() -> None:
        database = AsyncDatabase(database_url, "tests", pool_size=4)
        lists = RevocationLists()
        assert await lists.newest(database, "ab") is None
        store(database_url, "ab", b"first")
        together = await asyncio.gather(*(lists.newest(database, "ab") for _ in range(10)))
        later = await lists.newest(database, "ab")
        assert later == b"first"
        assert all(each is later for each in together)
        assert await lists.newest(database, None) == b"first"
        store(database_url, "ab", b"second")
        assert await lists.newest(database, "ab") == await lists.newest(database, None) == b"second"
        await database.close()

    asyncio.run(run())


def test_a_list_is_read_once_for_those_who_ask_together(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_lists, "CACHE_S", 3600.0)

    async def run() -> None:
        database = AsyncDatabase(database_url, "tests", pool_size=4)
        lists = RevocationLists()
        store(database_url, "ab", b"first")
        assert await lists.newest(database, "ab") == b"first"
        store(database_url, "ab", b"second")
        assert await lists.newest(database, "ab") == b"first", "as it was when it was read"
        assert await lists.newest(database, "cd") is None
        store(database_url, "cd", b"third")
        assert await lists.newest(database, "cd") == b"third", (
            "what was not there is asked for again"
        )
        await database.close()

    asyncio.run(run())
