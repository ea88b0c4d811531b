"""Transactions: one thin name over a connection, in a command and in the web alike.

Functions of the store take a `Tx` and are written once. A command opens one with
`Database.transaction`; the web with `await AsyncDatabase.run(fn, …)`.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from reconciler.errors import Retry
from reconciler.store.connection.connector import Connector
from reconciler.store.connection.session import begin, read_only
from reconciler.store.connection.statement_errors import Conflict, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from reconciler.store.connection.conninfo import Source

P = ParamSpec("P")
T = TypeVar("T")

STATEMENT_TIMEOUT_MS: Final = 60_000
LOCK_TIMEOUT_MS: Final = 15_000
POOL_SIZE: Final = 16  # connections of one gateway process
POOL_WAIT_S: Final = 10
ATTEMPTS: Final = 3
DRIVER: Final = "postgresql+psycopg://"  # all else is libpq's to parse


class Tx:
    """An open transaction."""

    __slots__ = ("connection",)

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection

    def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """Run a statement and return its rows."""
        result = self.connection.execute(sa.text(statement), values)
        return [dict(row) for row in result.mappings()]

    def row(self, statement: str, **values: object) -> dict[str, Any] | None:
        """Run a statement and return its first row, or None."""
        rows = self.rows(statement, **values)
        return rows[0] if rows else None

    def run(self, statement: str, **values: object) -> int:
        """Run a statement and return how many rows it touched."""
        return self.connection.execute(sa.text(statement), values).rowcount

    def now(self) -> datetime:
        """Return the database's clock, as it is now and not when the transaction began."""
        moment: datetime = self.connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return moment


def as_json(rows: object) -> str:
    """Return rows as the text of one JSON parameter, for `jsonb_to_recordset`."""
    return json.dumps(rows, default=str, separators=(",", ":"))


class Database:
    """A database as commands and loops use it: a connection a transaction, no pool.

    `source` is read at each connect. To a `lasting` process every failure of it is an outage.
    """

    def __init__(self, source: Source, application_name: str, *, lasting: bool = False) -> None:
        self.source = source
        self._connector = Connector(source, application_name, lasting=lasting)
        self._engine = sa.create_engine(
            DRIVER, poolclass=NullPool, creator=self._connector.open, use_native_hstore=False
        )

    @contextmanager
    def transaction(self, *, lock_timeout: timedelta | None = None) -> Iterator[Tx]:
        """Open a transaction: committed at the end, rolled back on an error.

        Raises:
            Retry: `database_unavailable`, or `lock_held` where a row stays locked.
            NeedsEdit: `config_invalid`: no retry can help.
        """
        lock_ms = LOCK_TIMEOUT_MS
        if lock_timeout is not None:
            lock_ms = max(int(lock_timeout.total_seconds() * 1000), 1)
        with self._began(lock_ms, STATEMENT_TIMEOUT_MS + lock_ms) as connection:
            yield Tx(connection)

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """Open a bare transaction, for migrations only; raises what `transaction` does."""
        with self._began(0, 0) as connection:
            yield connection

    def require_writable(self) -> None:
        """Raise `config_invalid` where transactions can only read."""
        with self.transaction():
            connector = self._connector
        if connector.session is not None and connector.session.read_only:
            raise read_only(connector.address, connector.session)

    @contextmanager
    def _began(self, lock_ms: int, statement_ms: int) -> Iterator[sa.Connection]:
        try:
            with translated(self._connector), self._engine.begin() as connection:
                _begin(connection, self._connector, lock_ms, statement_ms)
                yield connection
        except Conflict:
            raise Retry(
                "database_unavailable",
                "this transaction conflicted with another one; nothing was changed",
                hint="run the command again",
            ) from None


class AsyncDatabase:
    """A database as servers use it: a pool whose connections run store functions."""

    def __init__(
        self,
        source: Source,
        application_name: str,
        pool_size: int = POOL_SIZE,
        *,
        lasting: bool = True,
    ) -> None:
        # late: most commands are synchronous, and this pulls in the ORM
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - as above

        self.source = source
        self._connector = Connector(source, application_name, lasting=lasting)
        self._engine = create_async_engine(
            DRIVER,
            async_creator=self._connector.open_async,
            use_native_hstore=False,
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=POOL_WAIT_S,
        )

    async def run(
        self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a store function in a transaction of its own; again after a conflict.

        Raises:
            Retry: `database_unavailable`, `lock_held`; also what the function raises.
        """
        for attempt in range(ATTEMPTS):
            try:
                with translated(self._connector):
                    return await self._once(function, *args, **kwargs)
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise Retry("database_unavailable", "the database is too busy") from None
        raise AssertionError("unreachable")

    async def _once(
        self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def call(connection: sa.Connection) -> T:
            limit_ms = STATEMENT_TIMEOUT_MS + LOCK_TIMEOUT_MS
            _begin(connection, self._connector, LOCK_TIMEOUT_MS, limit_ms)
            return function(Tx(connection), *args, **kwargs)

        async with self._engine.begin() as connection:
            return await connection.run_sync(call)

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()


def _begin(
    connection: sa.Connection, connector: Connector, lock_ms: int, statement_ms: int
) -> None:
    connector.session = begin(
        connection, connector.address, lock_ms=lock_ms, statement_ms=statement_ms
    )
