"""The pool of a server: what goes wrong in one transaction does not reach the next one."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from reconciler.errors import Defect, Retry
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.connection import exchange
from reconciler.store.db import Database
from tests.support.waiting import wait_until

if TYPE_CHECKING:
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


def test_a_statement_that_is_cancelled_asks_the_server_for_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be what hangs. One that does not sees that nobody waits, and ends the statement."""
    asked: list[object] = []
    rows = Database(database_url, "tests")

    async def cancel(*_: object, **__: object) -> None:
        asked.append(True)

    def sleep(tx: Tx) -> None:
        tx.one("SELECT pg_sleep(600)")

    def sleeping() -> bool:
        active = "SELECT FROM pg_stat_activity WHERE state = 'active'"
        mine = " AND datname = current_database() AND query LIKE '%pg_sleep(600)%'"
        with rows.transaction() as tx:
            return tx.row(f"{active}{mine} AND pid <> pg_backend_pid()") is not None

    async def story() -> None:
        database = AsyncDatabase(database_url, "tests", pool_size=1)
        try:
            task = asyncio.create_task(database.run(sleep))
            await asyncio.to_thread(wait_until, sleeping, "the statement runs")
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert asked == []
            await asyncio.to_thread(wait_until, lambda: not sleeping(), "the server ends it")
        finally:
            await database.close()

    monkeypatch.setattr(psycopg.AsyncConnection, "_try_cancel", cancel)
    asyncio.run(story())


def test_a_server_that_hangs_is_not_waited_for_without_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[int] = []

    def hang(tx: Tx) -> None:
        pid = tx.one("SELECT pg_backend_pid() AS pid")["pid"]
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)
        with monkeypatch.context() as patched:  # what answers may take longer on a busy machine
            patched.setattr(exchange, "ANSWER_S", 0.5)
            tx.run("SELECT 1")

    async def story() -> None:
        database = AsyncDatabase(database_url, "tests", pool_size=1)
        try:
            with pytest.raises(Retry, match="connection"):
                await database.run(hang)
            assert (await database.run(lambda tx: tx.one("SELECT 1 AS one"))) == {"one": 1}
        finally:
            await database.close()

    try:
        asyncio.run(story())
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_a_statement_that_fails_ends_its_transaction_and_no_other(database_url: str) -> None:
    def begin(tx: Tx) -> None:
        tx.run("CREATE TABLE written (id integer)")
        tx.run("INSERT INTO written VALUES (1)")

    def write(tx: Tx, divisor: int) -> None:
        tx.run("INSERT INTO written VALUES (2)")
        tx.one("SELECT 1 / CAST(:divisor AS integer)", "SELECT 1", divisor=divisor)

    def count(tx: Tx) -> object:
        return tx.one("SELECT count(*) AS number FROM written")["number"]

    async def story() -> None:
        database = AsyncDatabase(database_url, "tests", pool_size=1)
        try:
            await database.run(begin)
            await database.run(write, 1)
            for _ in range(2):
                with pytest.raises(Defect, match="22012"):
                    await database.run(write, 0)
                assert await database.run(count) == 2
            await database.run(write, 1)
            assert await database.run(count) == 3
        finally:
            await database.close()

    asyncio.run(story())


def test_a_session_that_the_server_ends_is_told_with_the_servers_reason(database_url: str) -> None:
    def end(tx: Tx) -> None:
        tx.run("SELECT pg_terminate_backend(pg_backend_pid())")

    async def story() -> None:
        database = AsyncDatabase(database_url, "tests", pool_size=1)
        try:
            with pytest.raises(Retry, match="SQLSTATE 57P01"):
                await database.run(end)
            assert await database.run(lambda tx: tx.one("SELECT 1 AS one")) == {"one": 1}
        finally:
            await database.close()

    asyncio.run(story())


def test_a_write_in_one_exchange_meets_no_session_that_the_server_has_ended(
    database_url: str,
) -> None:
    def pid(tx: Tx) -> int:
        row = tx.last_row("SELECT pg_backend_pid() AS pid")
        assert row is not None
        return int(row["pid"])

    async def story() -> None:
        database = AsyncDatabase(database_url, "tests", pool_size=1)
        try:
            ended = await database.run(pid)
            with psycopg.connect(database_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 60000)", [ended])
            assert await database.run(pid) != ended
        finally:
            await database.close()

    asyncio.run(story())
