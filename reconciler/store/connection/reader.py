"""Single statements that only read, each a snapshot of its own: no transaction, no other statement.

For what is asked thousands of times a second, and must never wait for long. Settings of a session
are not relied on, for a proxy that pools statements keeps none: names are qualified, and times are
given as numbers.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import psycopg

from reconciler.core.model.text import printable
from reconciler.errors import MosaicError, NeedsEdit, Retry
from reconciler.store.connection.connector import Connector
from reconciler.store.connection.pool import LOST_STATEMENTS
from reconciler.store.connection.session import TABLES_SCHEMA
from reconciler.store.connection.severing import sever
from reconciler.store.connection.statements import Conflict, statement_failure

if TYPE_CHECKING:
    from reconciler.store.connection.conninfo import ConninfoSource

CONNECTIONS: Final = 8  # of one reader; more do not make one event loop faster
DEADLINE_S: Final = 4.0  # of a statement, with the wait for a connection

_OPENED: Final = f"SELECT {TABLES_SCHEMA}, pg_is_in_recovery()"


class Reader:
    """A few connections of one event loop; `{schema}` in a statement is that of our tables.

    To a `lasting` process every failure of it is an outage.
    """

    def __init__(
        self, source: ConninfoSource, application_name: str, *, lasting: bool = True
    ) -> None:
        self._connector = Connector(source, application_name, lasting=lasting)
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[tuple[psycopg.AsyncConnection, str]] = []
        self._closed = False
        self._prepared = True

    async def rows(
        self, statement: str, *values: str, deadline_s: float | None = None
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a statement; `$1` stands for the first value.

        `deadline_s` is by the clock of the event loop; it is in `DEADLINE_S` if it is not given.

        Raises:
            Retry: `database_unavailable`, when the deadline passes at the latest.
            NeedsEdit: `schema_missing`, `config_invalid`; not where the process is `lasting`.
        """
        if deadline_s is None:
            deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
        if self._idle and not self._slots.locked():
            async with self._slots:
                return await self._rows(deadline_s, statement, values)
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._slots.acquire()
        except TimeoutError:
            raise self._silent() from None
        try:
            return await self._rows(deadline_s, statement, values)
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Close what is idle; what is in use is closed once it is done."""
        self._closed = True
        await self._close_idle()

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop()[0].close()

    async def _rows(
        self, deadline_s: float, statement: str, values: tuple[str, ...]
    ) -> list[tuple[Any, ...]]:
        loop = asyncio.get_running_loop()
        if self._idle:
            try:
                return await self._execute(self._idle.pop(), deadline_s, statement, values)
            except Retry:
                await self._close_idle()  # the server was started again: what is idle is as dead
                if loop.time() >= deadline_s:
                    raise
        try:
            async with asyncio.timeout_at(deadline_s):
                opened = await self._open()
        except TimeoutError:
            raise self._silent() from None
        return await self._execute(opened, deadline_s, statement, values)

    async def _execute(
        self,
        opened: tuple[psycopg.AsyncConnection, str],
        deadline_s: float,
        statement: str,
        values: tuple[str, ...],
    ) -> list[tuple[Any, ...]]:
        connection, schema = opened
        timer = asyncio.get_running_loop().call_at(deadline_s, sever, connection)
        try:
            cursor = psycopg.AsyncRawCursor(connection)
            await cursor.execute(_qualified(statement, schema), values or None)
            rows: list[tuple[Any, ...]] = await cursor.fetchall()
        except BaseException as error:
            await connection.close()
            if not isinstance(error, psycopg.Error):
                raise
            if asyncio.get_running_loop().time() >= deadline_s:
                raise self._silent() from None
            if isinstance(error, LOST_STATEMENTS):
                self._prepared = False
            raise self._failure(error) from None  # its DETAIL may hold the row
        finally:
            timer.cancel()
        if self._closed:
            await connection.close()
        else:
            self._idle.append(opened)
        return rows

    async def _open(self) -> tuple[psycopg.AsyncConnection, str]:
        try:
            connection = await self._connector.open_async()
        except NeedsEdit as error:
            if error.code != "config_invalid" or not self._connector.lasting:
                raise
            raise Retry("database_unavailable", error.message, hint=error.hint) from error
        try:
            await connection.rollback()  # the connector has begun a transaction
            await connection.set_autocommit(True)
            cursor = await connection.execute(_OPENED.encode())
            opened = await cursor.fetchone()
            # planned once a connection: three times as fast; a proxy may hand out another's
            connection.prepare_threshold = 0 if self._prepared else None
        except BaseException as error:
            await connection.close()
            if not isinstance(error, psycopg.Error):
                raise
            raise self._failure(error) from None
        assert opened is not None
        schema, standby = opened
        if standby:  # it may lag behind a revocation
            await connection.close()
            raise Retry(
                "database_unavailable",
                f"{self._connector.address} is a standby, which may be behind the primary",
                hint="name the primary, or every host and target_session_attrs=read-write",
            )
        return connection, schema

    def _silent(self) -> Retry:
        return Retry(
            "database_unavailable",
            f"{self._connector.address} did not answer within {DEADLINE_S:.0f} s",
        )

    def _failure(self, error: psycopg.Error) -> Exception:
        failure = statement_failure(error, self._connector)
        if isinstance(failure, Conflict) or isinstance(error, LOST_STATEMENTS):
            return Retry("database_unavailable", "another session was in the way")
        if isinstance(failure, MosaicError):
            return failure
        return Retry("database_unavailable", printable(type(error).__name__))


@lru_cache(64)
def _qualified(statement: str, schema: str) -> bytes:
    return statement.format(schema=schema).encode()
