"""What a command's transaction does beside its caller: in order, and with its errors kept."""

from __future__ import annotations

import os
import signal
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.errors import Refused
from reconciler.store import db
from reconciler.store.db import Database
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.store.db import Tx

LONG_S: Final = 3600  # longer than any test may take


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url, "tests")


def test_what_follows_work_beside_the_caller_sees_it(database: Database) -> None:
    goes_on = Event()

    def work(tx: Tx) -> None:
        assert goes_on.wait(LONG_S)  # set by the caller, who therefore goes on
        tx.run("CREATE TEMPORARY TABLE made AS SELECT 1 AS value")

    with database.transaction() as tx:
        tx.beside(work)
        goes_on.set()
        tx.beside(lambda tx: tx.run("UPDATE made SET value = value + 1"))
        assert tx.one("SELECT value FROM made") == {"value": 2}


def test_what_work_beside_the_caller_raises_is_raised_by_the_next_use(database: Database) -> None:
    def work(tx: Tx) -> None:
        tx.run("CREATE TABLE left_behind ()")
        raise Refused("plan_stale", "the peer of a grant is gone")

    tried: list[str] = []

    def use() -> None:
        with database.transaction() as tx:
            tx.beside(work)
            tried.append("beside")
            tx.run("SELECT 1")
            tried.append("run")

    with pytest.raises(Refused, match="the peer of a grant is gone"):
        use()
    assert tried == ["beside"]
    with database.transaction() as tx:
        assert tx.one("SELECT to_regclass('left_behind') AS found") == {"found": None}


def test_nothing_is_committed_if_the_last_work_fails(database: Database) -> None:
    def work(_: Tx) -> None:
        raise Refused("plan_stale", "the peer of a grant is gone")

    def use() -> None:
        with database.transaction() as tx:
            tx.run("CREATE TABLE left_behind ()")
            tx.beside(work)

    with pytest.raises(Refused, match="the peer of a grant is gone"):
        use()
    with database.transaction() as tx:
        assert tx.one("SELECT to_regclass('left_behind') AS found") == {"found": None}


def test_a_caller_that_fails_stops_the_work_beside_it(database: Database) -> None:
    began = Event()

    def work(tx: Tx) -> None:
        began.set()
        tx.run(f"SELECT pg_sleep({LONG_S})")

    def use() -> None:
        with database.transaction(unlimited=True) as tx:
            tx.beside(work)
            assert began.wait(LONG_S)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()


def test_a_server_that_hangs_does_not_keep_a_caller_that_failed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "CANCELLED_WITHIN_S", 0.5)
    backend: list[int] = []

    def work(tx: Tx) -> None:
        tx.run(f"SELECT pg_sleep({LONG_S})")

    def use() -> None:
        with database.transaction(unlimited=True) as tx:
            backend.append(tx.one("SELECT pg_backend_pid() AS pid")["pid"])
            os.kill(backend[0], signal.SIGSTOP)
            tx.beside(work)
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            use()
    finally:
        os.kill(backend[0], signal.SIGCONT)


@pytest.mark.parametrize("hangs", [False, True], ids=["the server answers", "it hangs"])
def test_a_caller_that_fails_ends_the_rows_that_it_has_not_taken(
    database: Database, hangs: bool
) -> None:
    backend: list[int] = []

    def use() -> None:
        with database.transaction() as tx:
            backend.append(tx.one("SELECT pg_backend_pid() AS pid")["pid"])
            rows = tx.stream("SELECT generate_series(1, 1000000) AS number")
            assert next(rows) == {"number": 1}
            if hangs:
                os.kill(backend[0], signal.SIGSTOP)
            raise KeyboardInterrupt  # whose traceback holds the rows, and they the connection

    caller = Thread(target=_interrupted, args=(use,), daemon=True)
    caller.start()
    caller.join(PATIENCE_S)
    ended = not caller.is_alive()
    if hangs:
        os.kill(backend[0], signal.SIGCONT)
    assert ended


def _interrupted(use: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        use()
