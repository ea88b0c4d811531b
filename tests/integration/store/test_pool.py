"""The pool of a server: what goes wrong in one transaction does not reach the next one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg

from reconciler.store.async_database import AsyncDatabase

if TYPE_CHECKING:
    import pytest

    from reconciler.store.db import Tx


def test_a_transaction_whose_rollback_was_cancelled_is_not_joined_by_the_next(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tx: Tx) -> None:
        tx.run("CREATE TEMPORARY TABLE left_behind (id integer)")
        raise ZeroDivisionError

    def left_behind(tx: Tx) -> object:
        return tx.one("SELECT to_regclass('pg_temp.left_behind') AS table")["table"]

    async def story() -> None:
        undoing = asyncio.Event()

        async def rollback(_: psycopg.AsyncConnection) -> None:
            undoing.set()
            await asyncio.Event().wait()

        database = AsyncDatabase(database_url, "tests", pool_size=1)
        try:
            assert await database.run(left_behind) is None  # a connection is idle
            with monkeypatch.context() as patch:
                patch.setattr(psycopg.AsyncConnection, "rollback", rollback)
                failing = asyncio.create_task(database.run(fail))
                await undoing.wait()
                failing.cancel()
                with suppress(asyncio.CancelledError):
                    await failing
            assert await database.run(left_behind) is None
        finally:
            await database.close()

    asyncio.run(story())
