"""The database of a server: store functions run on a pool's connections, beside other work.

A store function is written for commands, so it waits for each statement. Here it runs in a greenlet
of its own, which is left while the event loop waits for the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from psycopg.rows import dict_row
from sqlalchemy.util import await_only, greenlet_spawn

from reconciler.errors import Retry
from reconciler.store.connection.connector import Connector
from reconciler.store.connection.pool import Lent, Pool
from reconciler.store.connection.session import TimeLimits
from reconciler.store.connection.statements import Conflict, in_driver_form, translated
from reconciler.store.db import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, Tx

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import AsyncCursor

    Cursor = AsyncCursor[dict[str, Any]]

    from reconciler.store.connection.conninfo import ConninfoSource

P = ParamSpec("P")
T = TypeVar("T")

POOL_SIZE: Final = 16  # connections of one gateway process
ATTEMPTS: Final = 3


class PooledTx(Tx):
    """A transaction on a connection that a pool has lent."""

    __slots__ = ("_lent",)

    def __init__(self, lent: Lent) -> None:
        self._lent = lent

    def rows(self, statement: str, /, **values: object) -> list[dict[str, Any]]:
        """Run a statement and return its rows."""
        rows: list[dict[str, Any]] = await_only(self._rows(statement, values))
        return rows

    def tuples(self, statement: str, /, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows as tuples, in the order of its columns."""
        rows: list[tuple[Any, ...]] = await_only(self._tuples(statement, values))
        return rows

    def last_row(self, statement: str, /, **values: object) -> dict[str, Any] | None:
        """Run the last statement of the transaction, commit, and return its first row, or None."""
        row: dict[str, Any] | None = await_only(self._last_row(statement, values))
        return row

    def run(self, statement: str, /, **values: object) -> int:
        """Run a statement and return how many rows it touched."""
        return await_only(self._execute(statement, values)).rowcount

    def run_script(self, script: str) -> None:
        """Run statements as they are: a colon or a percent sign is no parameter."""
        await_only(self._lent.connection.execute(script.encode()))

    @property
    def driver(self) -> Any:
        """The connection of psycopg."""
        return self._lent.connection

    async def _rows(self, statement: str, values: dict[str, object]) -> list[dict[str, Any]]:
        return await (await self._execute(statement, values)).fetchall()

    async def _tuples(self, statement: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        cursor = self._lent.connection.cursor(binary=True)
        await cursor.execute(in_driver_form(statement), values)
        self._lent.begun = True
        return await cursor.fetchall()

    async def _last_row(self, statement: str, values: dict[str, object]) -> dict[str, Any] | None:
        async with self._lent.connection.pipeline():  # COMMIT goes with it
            cursor = await self._send(statement, values)
            await self._lent.connection.commit()
            return await cursor.fetchone()

    async def _execute(self, statement: str, values: dict[str, object]) -> Cursor:
        if self._lent.begun:
            return await self._send(statement, values)
        async with self._lent.connection.pipeline():  # BEGIN goes with it
            cursor = await self._send(statement, values)
        self._lent.begun = True
        return cursor

    async def _send(self, statement: str, values: dict[str, object]) -> Cursor:
        cursor = self._lent.connection.cursor(row_factory=dict_row)
        return await cursor.execute(in_driver_form(statement), values)


class AsyncDatabase:
    """A database as servers use it: a pool whose connections run store functions."""

    def __init__(
        self,
        source: ConninfoSource,
        application_name: str,
        pool_size: int = POOL_SIZE,
        *,
        lasting: bool = True,
    ) -> None:
        self.source = source
        self._connector = Connector(source, application_name, lasting=lasting)
        limits = TimeLimits(LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS + LOCK_TIMEOUT_MS)
        self._pool = Pool(self._connector, pool_size, limits)

    async def run(
        self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a store function in a transaction of its own; again after a conflict.

        Raises:
            Retry: `database_unavailable`, `lock_held`; also what the function raises.
        """
        for attempt in range(ATTEMPTS):
            try:
                return await self._once(lambda tx: function(tx, *args, **kwargs))
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise Retry("database_unavailable", "the database is too busy") from None
        raise AssertionError("unreachable")

    async def _once(self, work: Callable[[Tx], T]) -> T:
        with translated(self._connector):
            async with self._pool.transaction() as lent:
                return await greenlet_spawn(work, PooledTx(lent))

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()
