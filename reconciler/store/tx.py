"""Transactions: one thin name over a connection, in a command and in the web alike.

Functions of the store take a `Tx` and are written once. A command opens one with
`Database.transaction`; the web with `await AsyncDatabase.run(fn, …)`.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reconciler.errors import MosaicError, NeedsEdit, Refused, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime, timedelta

P = ParamSpec("P")
T = TypeVar("T")

STATEMENT_TIMEOUT_MS: Final = 60_000
IDLE_TIMEOUT_MS: Final = 60_000
LOCK_TIMEOUT_MS: Final = 15_000
CLIENT_CHECK_MS: Final = 1_000  # in which a server notices that who waits for a lock was killed
CONNECT_TIMEOUT_S: Final = 5
POOL_SIZE: Final = 16  # connections of one gateway process
ATTEMPTS: Final = 3

_DEADLOCK: Final = "40P01"  # PostgreSQL, appendix A
_SERIALIZATION: Final = "40001"
_LOCK_NOT_AVAILABLE: Final = "55P03"
_UNIQUE: Final = "23505"
_UNDEFINED_TABLE: Final = "42P01"


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
        found = self.rows(statement, **values)
        return found[0] if found else None

    def run(self, statement: str, **values: object) -> int:
        """Run a statement and return how many rows it touched."""
        return self.connection.execute(sa.text(statement), values).rowcount

    def now(self) -> datetime:
        """Return the database's clock, as it is now and not when the transaction began."""
        found: datetime = self.connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return found


def as_json(rows: object) -> str:
    """Return rows as the text of one JSON parameter, for `jsonb_to_recordset`."""
    return json.dumps(rows, default=str, separators=(",", ":"))


class Database:
    """A database as commands use it: a connection a transaction, no pool."""

    def __init__(self, url: str, application_name: str) -> None:
        self.url = url
        self._engine = sa.create_engine(
            _url(url), poolclass=NullPool, connect_args=_connect_args(application_name)
        )

    @contextmanager
    def transaction(self, *, lock_timeout: timedelta | None = None) -> Iterator[Tx]:
        """Open a transaction: committed at the end, rolled back on an error.

        Raises:
            Retry: `database_unavailable`, or `lock_held` where a row stays locked.
        """
        try:
            with translated(), self._engine.begin() as connection:
                _set_limits(connection, lock_timeout)
                yield Tx(connection)
        except _Conflict:
            raise _in_the_way() from None

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """Open a bare connection, for migrations only; raises what a transaction does."""
        try:
            with translated(), self._engine.begin() as connection:
                yield connection
        except _Conflict:
            raise _in_the_way() from None


class AsyncDatabase:
    """A database as servers and loops use it: a pool whose connections run store functions."""

    def __init__(self, url: str, application_name: str, pool_size: int = POOL_SIZE) -> None:
        # late: most commands are synchronous, and this pulls in the ORM
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

        self._engine = create_async_engine(
            _url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args=_connect_args(application_name),
        )

    async def run(
        self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a store function in a transaction of its own, again after a deadlock.

        Raises:
            Retry: `database_unavailable`, or `lock_held` where a row stays locked.
        """
        for attempt in range(ATTEMPTS):
            try:
                with translated():
                    return await self._once(function, *args, **kwargs)
            except _Conflict:
                if attempt == ATTEMPTS - 1:
                    raise Retry("database_unavailable", "the database is too busy") from None
        raise AssertionError("unreachable")

    async def _once(
        self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def call(connection: sa.Connection) -> T:
            _set_limits(connection, None)
            return function(Tx(connection), *args, **kwargs)

        async with self._engine.begin() as connection:
            return await connection.run_sync(call)

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()


class _Conflict(Exception):
    """Two transactions were in each other's way; running one again is safe."""


def _in_the_way() -> Retry:
    return Retry(
        "database_unavailable",
        "another transaction was in the way of this one; nothing was changed",
        hint="run the command again",
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn the database's errors into ours. Causes are cut off: their text may hold the row."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error) from None
    except SQLAlchemyError as error:
        reason = type(error).__name__
        raise Retry("database_unavailable", f"no connection to the database: {reason}") from None


def _translate(error: DBAPIError) -> Exception:
    state = getattr(error.orig, "sqlstate", None)
    diagnostics = getattr(error.orig, "diag", None)
    named = getattr(diagnostics, "constraint_name", None) or ""
    if state in (_DEADLOCK, _SERIALIZATION):
        return _Conflict()
    if state == _LOCK_NOT_AVAILABLE:
        return Retry("lock_held", "a row or the lock stayed taken", hint="try again")
    if state == _UNDEFINED_TABLE:
        return NeedsEdit(
            "schema_missing",
            "the database has no current schema",
            hint="run `mosaic federation db upgrade`",
        )
    if state == _UNIQUE:
        return Refused("name_taken", f"the database has such a row already ({named})")
    if isinstance(error, OperationalError) or error.connection_invalidated or state is None:
        return Retry(
            "database_unavailable",
            "the database cannot be reached" + (f" (SQLSTATE {state})" if state else ""),
            hint="check MOSAIC_DATABASE_URL, and that PostgreSQL runs",
        )
    what = named or getattr(diagnostics, "message_primary", None) or type(error.orig).__name__
    return MosaicError("internal", f"the database refused a statement (SQLSTATE {state}): {what}")


def _url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        raise NeedsEdit(
            "config_invalid",
            "MOSAIC_DATABASE_URL is not a URL such as postgresql://user@host/name",
            hint="correct it; a password belongs into the file of MOSAIC_DATABASE_URL_FILE",
        ) from None
    if not parsed.drivername.startswith(("postgresql", "postgres")):
        raise NeedsEdit(
            "config_invalid",
            f"MOSAIC_DATABASE_URL: got {parsed.drivername!r}, expected postgresql://…",
            hint="only PostgreSQL 15 or later is supported",
        )
    return parsed.set(drivername="postgresql+psycopg")


def _connect_args(application_name: str) -> dict[str, Any]:
    # no prepared statements: behind a transaction-pooling proxy they belong to another connection
    return {
        "application_name": application_name[:63],
        "prepare_threshold": None,
        "connect_timeout": CONNECT_TIMEOUT_S,
    }


def _set_limits(connection: sa.Connection, lock_timeout: timedelta | None) -> None:
    lock_ms = LOCK_TIMEOUT_MS if lock_timeout is None else int(lock_timeout.total_seconds() * 1000)
    limits: Mapping[str, object] = {
        "lock": str(max(lock_ms, 1)),
        "statement": str(STATEMENT_TIMEOUT_MS + lock_ms),
        "idle": str(IDLE_TIMEOUT_MS),
        "check": str(CLIENT_CHECK_MS),
    }
    connection.execute(
        sa.text(
            "SELECT set_config('lock_timeout', :lock, true),"
            " set_config('statement_timeout', :statement, true),"
            " set_config('idle_in_transaction_session_timeout', :idle, true),"
            " set_config('client_connection_check_interval', :check, true),"
            " set_config('timezone', 'UTC', true),"
            " set_config('mosaic.writer', 'on', true)"  # else a trigger notes a change by hand
        ),
        limits,
    )
