"""Transactions: one thin name over a connection, in a command and in the web alike.

Functions of the store take a `Tx` and are written once. A command opens one with
`Database.transaction`; the web with `await AsyncDatabase.run(fn, …)` (`async_database`).
"""

from __future__ import annotations

import json
import os
import time
from concurrent import futures
from contextlib import contextmanager, suppress
from inspect import GEN_CLOSED, getgeneratorstate
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg import capabilities
from psycopg.rows import dict_row

from reconciler.core.model.ids import UUID7_RANDOM_BYTES, uuid7
from reconciler.store.connection.connector import Connector
from reconciler.store.connection.session import (
    TRANSACTION,
    TimeLimits,
    read_only,
    read_session,
    unlimited,
)
from reconciler.store.connection.severing import sever
from reconciler.store.connection.statements import in_driver_form, translated, without_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from reconciler.store.connection.conninfo import ConninfoSource


T = TypeVar("T")

STATEMENT_TIMEOUT_MS: Final = 60_000
LOCK_TIMEOUT_MS: Final = 15_000
STREAMED: Final = 500  # rows
CANCELLED_AGAIN_S: Final = 0.1
CANCELLED_WITHIN_S: Final = 5.0  # as psycopg waits for a statement that it cancels


class Tx:
    """An open transaction. In a statement `:name` stands for the value of that name."""

    __slots__ = ("connection",)

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def rows(self, statement: str, /, **values: object) -> list[dict[str, Any]]:
        """Run a statement and return its rows."""
        with self.driver.cursor(row_factory=dict_row) as cursor:
            rows: list[dict[str, Any]] = cursor.execute(
                in_driver_form(statement), values
            ).fetchall()
            return rows

    def row(self, statement: str, /, **values: object) -> dict[str, Any] | None:
        """Run a statement and return its first row, or None."""
        rows = self.rows(statement, **values)
        return rows[0] if rows else None

    def one(self, *statements: str, **values: object) -> dict[str, Any]:
        """Run statements, of which the last always has a row, and return its first one.

        A server sends them together: what the last one reads is what the others have locked.
        """
        for statement in statements[:-1]:
            self.run(statement, **values)
        return self.rows(statements[-1], **values)[0]

    def tuples(self, statement: str, /, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows as tuples, in the order of its columns.

        They come in PostgreSQL's binary form, in half of the time: no column may be an enum.
        """
        with self.driver.cursor(binary=True) as cursor:
            rows: list[tuple[Any, ...]] = cursor.execute(
                in_driver_form(statement), values
            ).fetchall()
            return rows

    def stream(self, statement: str, /, **values: object) -> Generator[dict[str, Any]]:
        """Yield the rows of a statement while the server sends them, all of one moment.

        It is no cursor of the server's: `statement_timestamp()` would move with each fetch.
        """
        chunked = capabilities.has_stream_chunked()  # libpq 17; those before it send single rows
        with self.driver.cursor(row_factory=dict_row) as cursor:
            yield from cursor.stream(
                in_driver_form(statement), values, size=STREAMED if chunked else 1
            )

    def only_row(self, statement: str, /, **values: object) -> dict[str, Any] | None:
        """Run the only statement of a transaction that changes nothing; return its first row."""
        return self.row(statement, **values)

    def last_row(self, *statements: str, **values: object) -> dict[str, Any] | None:
        """Run the last statements of the transaction; return the first row of the last, or None.

        A server's transaction is committed with them, so that its locks wait for no client.
        """
        for statement in statements[:-1]:
            self.run(statement, **values)
        return self.row(statements[-1], **values)

    def run(self, statement: str, /, **values: object) -> int:
        """Run a statement and return how many rows it touched."""
        with self.driver.cursor() as cursor:
            touched: int = cursor.execute(in_driver_form(statement), values).rowcount
            return touched

    def beside(self, work: Callable[[Tx], object]) -> None:
        """Do some work, of which the caller needs no result; a command's goes on meanwhile."""
        work(self)

    def run_script(self, script: str) -> None:
        """Run statements as they are: a colon or a percent sign is no parameter."""
        self.driver.execute(script.encode())

    @property
    def driver(self) -> Any:
        """The connection of psycopg."""
        return self.connection

    def now(self) -> datetime:
        """Return the database's clock, as it is now and not when the transaction began."""
        moment: datetime = self.one("SELECT clock_timestamp() AS now")["now"]
        return moment


class CommandTx(Tx):
    """A transaction that can work beside its caller: any other use waits for that work.

    A large apply makes its rows and records a part at a time, and PostgreSQL takes as long to write
    one part as the next takes to be made.
    """

    __slots__ = ("_beside", "_streamed")

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self._beside: futures.Future[object] | None = None
        self._streamed: Generator[dict[str, Any]] | None = None

    @property
    def driver(self) -> Any:
        """The connection of psycopg; raise what the work beside the caller has raised."""
        if self._beside is not None:
            self._beside.result()
            self._beside = None
        return self.connection

    def beside(self, work: Callable[[Tx], object]) -> None:
        """Do some work while the caller goes on; the next use raises what it raises."""
        tx = Tx(self.driver)
        executor = futures.ThreadPoolExecutor(1, "statements")  # imported by its first use
        self._beside = executor.submit(work, tx)
        executor.shutdown(wait=False)

    def stream(self, statement: str, /, **values: object) -> Generator[dict[str, Any]]:
        """Yield rows as `Tx` does; what a caller that failed has not taken ends with it."""
        self._streamed = super().stream(statement, **values)
        return self._streamed

    def end(self) -> None:
        """Stop what is still done beside a caller that has failed, whether the server hangs or not.

        Whoever interrupts this does not wait: the connection is cut, which rolls all back.
        """
        if self._streamed is not None and getgeneratorstate(self._streamed) != GEN_CLOSED:
            sever(self.connection)  # else psycopg cancels, and waits for the server
            self._streamed.close()  # it holds the lock of the connection
        work, deadline_s = self._beside, time.monotonic() + CANCELLED_WITHIN_S
        try:
            while work is not None and not work.done() and time.monotonic() < deadline_s:
                with suppress(psycopg.Error):
                    self.connection.cancel_safe(timeout=1)  # of no effect between two statements
                with suppress(TimeoutError):
                    work.exception(CANCELLED_AGAIN_S)
        finally:
            if work is not None and not work.done():
                sever(self.connection)


def as_json(rows: object) -> str:
    """Return rows as the text of one JSON parameter, for `jsonb_to_recordset`."""
    return json.dumps(rows, default=str, separators=(",", ":"))


def parts_of(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield values in lists of at most `size`, for a statement each."""
    remaining = iter(values)
    while part := list(islice(remaining, size)):
        yield part


class Database:
    """A database as commands and loops use it: a connection a transaction, no pool.

    `source` is read at each connect, by `connector`. To a `lasting` process every failure of it is
    an outage. `snapshot` is for transactions that read one moment and write nothing.
    """

    def __init__(
        self,
        source: ConninfoSource,
        application_name: str,
        *,
        lasting: bool = False,
        snapshot: bool = False,
    ) -> None:
        self.source = source
        self.connector = Connector(source, application_name, lasting=lasting, snapshot=snapshot)

    @contextmanager
    def transaction(
        self, *, lock_timeout: timedelta | None = None, unlimited: bool = False
    ) -> Iterator[Tx]:
        """Open a transaction: committed at the end, rolled back on an error.

        One that is `unlimited` may take any time: a backup, a restore.

        Raises:
            Retry: `database_unavailable`, or `lock_held` where a row stays locked.
            NeedsEdit: `config_invalid`: no retry can help.
        """
        lock_ms = LOCK_TIMEOUT_MS
        if lock_timeout is not None:
            lock_ms = max(int(lock_timeout.total_seconds() * 1000), 1)
        limits = TimeLimits() if unlimited else TimeLimits(lock_ms, STATEMENT_TIMEOUT_MS + lock_ms)
        with (
            without_conflict(),
            self._opened() as connection,
            translated(self.connector, connection),
        ):
            tx = CommandTx(connection)
            try:
                begin(tx, self.connector, limits)
                yield tx
                tx.driver.commit()
            finally:
                tx.end()

    def require_writable(self) -> None:
        """Raise `config_invalid` where transactions can only read."""
        with self.transaction():
            connector = self.connector
        if connector.session is not None and connector.session.read_only:
            raise read_only(connector.address, connector.session)

    @contextmanager
    def _opened(self) -> Iterator[psycopg.Connection]:
        """Connect; whatever is not committed at the end is rolled back."""
        with translated(self.connector):
            connection = self.connector.open()
        try:
            yield connection
        finally:
            with suppress(psycopg.Error):
                connection.rollback()
            connection.close()


def begin(tx: Tx, connector: Connector, limits: TimeLimits) -> None:
    """Set what a transaction relies on, and note what its server is.

    Raises:
        NeedsEdit: as `read_session`.
    """
    tx.run_script(unlimited(tx.driver.info.server_version))
    row = tx.one(TRANSACTION, **limits.as_parameters())
    connector.session = read_session(row, connector.address)


def new_id(at: datetime) -> UUID:
    """Return a UUIDv7 for `at`."""
    return uuid7(at, os.urandom(UUID7_RANDOM_BYTES))
