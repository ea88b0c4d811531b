"""The connections of one event loop: a few, each lent for one transaction at a time.

A session of ours is set up once, and its statements are prepared. Behind a proxy that pools
transactions no session is ours: there, each transaction sets itself up, and nothing is prepared.

psycopg_pool is not used: it connects in the background, so a caller would wait for its timeout and
never learn why the database refuses it, and a password that was rotated could not be told.
"""

from __future__ import annotations

import asyncio
import select
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from reconciler.errors import Retry
from reconciler.store.connection.exchange import Exchanges
from reconciler.store.connection.session import SESSION, TRANSACTION, read_session, unlimited
from reconciler.store.connection.statements import Conflict, in_driver_form, statement_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reconciler.store.connection.connector import Connector
    from reconciler.store.connection.session import TimeLimits

WAIT_S: Final = 10.0  # for a connection
MAX_AGE_S: Final = 300.0  # after which a session sees again what the server's files say

LOST_STATEMENTS: Final = (
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
)


@dataclass(slots=True)
class Lent:
    """A connection in use; `own` if its session is ours, `fresh` if this is its first use.

    `begun` is set once a statement of the transaction has been answered, or may have been
    committed.
    """

    connection: psycopg.AsyncConnection
    exchanges: Exchanges
    own: bool
    opened_s: float
    fresh: bool = True
    begun: bool = False


class Pool:
    """At most `size` connections, all with the same limits of time."""

    def __init__(self, connector: Connector, size: int, limits: TimeLimits) -> None:
        self._connector, self._limits = connector, limits
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Lent] = []
        self._sessions = True  # are ours, until a proxy is seen
        self._closed = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Lent]:
        """Lend a connection for a transaction: committed at the end, rolled back on an error.

        Raises:
            Conflict, MosaicError: what a statement's failure means.
        """
        async with self._slot():
            lent = await self._take()
            connection = lent.connection
            try:
                if not lent.own:
                    await self._begin(connection)
                yield lent
                if lent.exchanges.in_transaction:
                    await connection.commit()
            except psycopg.Error as error:
                await self._undo(connection)
                failure = await self._failure(error, lent)
                # the traceback still leads to the statement
                raise failure.with_traceback(error.__traceback__) from None
            except Exception:
                await self._undo(connection)
                raise
            except BaseException:  # cancelled: a statement may be under way
                await connection.close()
                raise
            finally:
                await self._give_back(lent)

    async def close(self) -> None:
        """Close what is idle; what is in use is closed once it is done."""
        self._closed = True
        await self._drop_idle()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise Retry(
                "database_unavailable",
                "every connection of this process stayed in use",
                hint="try again; if it lasts, look for what waits in pg_stat_activity",
            ) from None
        try:
            yield
        finally:
            self._slots.release()

    async def _take(self) -> Lent:
        while self._idle:
            lent = self._idle.pop()
            if time.monotonic() - lent.opened_s < MAX_AGE_S and _is_silent(lent.connection):
                return replace(lent, fresh=False, begun=False)
            await lent.connection.close()
        connection = await self._connector.open_async()
        try:
            own = self._sessions and await self._set_up(connection)
        except BaseException:  # nobody else has it, to close it
            await connection.close()
            raise
        return Lent(connection, Exchanges(connection, prepares=own), own, time.monotonic())

    async def _set_up(self, connection: psycopg.AsyncConnection) -> bool:
        """Set the session up, if it is ours; a proxy's process is not the one that it names."""
        row = await self._set(connection, SESSION)
        if row["pid"] != connection.info.backend_pid:
            self._sessions = False
            await connection.rollback()
            return False
        self._connector.session = read_session(row, self._connector.address)
        await connection.commit()
        await connection.set_autocommit(True)  # a transaction begins by a statement of ours
        return True

    async def _begin(self, connection: psycopg.AsyncConnection) -> None:
        await connection.execute(unlimited(connection.info.server_version))
        row = await self._set(connection, TRANSACTION)
        self._connector.session = read_session(row, self._connector.address)

    async def _set(self, connection: psycopg.AsyncConnection, statement: str) -> dict[str, Any]:
        """Run the statement that sets what a transaction relies on; return what the server is."""
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(in_driver_form(statement), self._limits.as_parameters())
        row = await cursor.fetchone()
        assert row is not None
        return row

    async def _failure(self, error: psycopg.Error, lent: Lent) -> Exception:
        if isinstance(error, LOST_STATEMENTS):  # a proxy has handed out another's session
            self._sessions = False
            await lent.connection.close()
            await self._drop_idle()
            return Conflict()
        lost = bool(lent.connection.closed)
        if lost:
            await self._drop_idle()  # the server was started again: what is idle is as dead
        if lost and not (lent.fresh or lent.begun):
            return Conflict()
        return statement_failure(error, self._connector, lost=lost)

    @staticmethod
    async def _undo(connection: psycopg.AsyncConnection) -> None:
        try:
            await connection.rollback()
        except psycopg.Error:
            await connection.close()

    async def _give_back(self, lent: Lent) -> None:
        # a rollback that was cancelled leaves a transaction open: the next one must not join it
        over = lent.connection.info.transaction_status is TransactionStatus.IDLE
        if self._closed or not over:
            await lent.connection.close()
        else:
            self._idle.append(lent)

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for lent in idle:
            await lent.connection.close()


def _is_silent(connection: psycopg.AsyncConnection) -> bool:
    """Tell whether an idle connection is open, and the server has not said that it ends it.

    A transaction that is one exchange cannot tell a connection that was dead before from one that
    was lost with the answer, after which it must not be run again.
    """
    if connection.closed:
        return False
    heard = select.poll()
    heard.register(connection.fileno(), select.POLLIN)
    return not heard.poll(0)
