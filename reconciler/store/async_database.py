"""The database of a server: store functions run on a pool's connections, beside other work.

A store function is written for commands, so it waits for each statement. Here it runs in a greenlet
of its own, which is left while the event loop waits for the server.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy.util import await_only, greenlet_spawn

from reconciler.errors import Retry
from reconciler.store.connection.connector import Connector
from reconciler.store.connection.exchange import BEGIN, COMMIT
from reconciler.store.connection.pool import WAIT_S, Lent, Pool
from reconciler.store.connection.session import TimeLimits
from reconciler.store.connection.statements import Conflict, translated
from reconciler.store.db import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, Tx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from reconciler.store.connection.conninfo import ConninfoSource
    from reconciler.store.connection.exchange import Answer

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
        return self._run(statement, values=values).rows()

    def one(self, *statements: str, **values: object) -> dict[str, Any]:
        """Run statements, of which the last always has a row, and return its first one."""
        return self._run(*statements, values=values).rows()[0]

    def tuples(self, statement: str, /, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows as tuples, in the order of its columns."""
        return self._run(statement, values=values, binary=True).tuples

    def last_row(self, *statements: str, **values: object) -> dict[str, Any] | None:
        """Run the last statements of the transaction, commit; return the last one's first row."""
        exchanges, self._lent.begun = self._lent.exchanges, True
        if exchanges.in_transaction:
            statements = (*statements, COMMIT)
        answer: Answer = await_only(exchanges.run(statements, values))
        return next(iter(answer.rows()), None)

    def only_row(self, statement: str, /, **values: object) -> dict[str, Any] | None:
        """Run the only statement of a transaction that changes nothing; return its first row."""
        answer: Answer = await_only(self._lent.exchanges.run((statement,), values))
        return next(iter(answer.rows()), None)

    def run(self, statement: str, /, **values: object) -> int:
        """Run a statement and return how many rows it touched."""
        return self._run(statement, values=values).touched

    def _run(self, *statements: str, values: dict[str, object], binary: bool = False) -> Answer:
        exchanges = self._lent.exchanges
        if not exchanges.in_transaction:
            statements = (BEGIN, *statements)
        answer: Answer = await_only(exchanges.run(statements, values, binary=binary))
        self._lent.begun = True
        return answer


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
        self._grants: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._grants_at_once = asyncio.Semaphore(max(1, pool_size - max(1, pool_size // 4)))

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

    async def run_for_grant(
        self,
        grant_id: UUID,
        function: Callable[Concatenate[Tx, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a store function that locks a grant: one of each at a time, on part of the pool.

        Somebody else may hold the lock for long, as a large apply does. What waits for it keeps
        nobody else from the database, who asks for another grant or only reads.

        Raises:
            Retry: `lock_held`: those before it took too long; as `run` does.
        """
        async with self._turn_of(grant_id):
            return await self.run(function, *args, **kwargs)

    @asynccontextmanager
    async def _turn_of(self, grant_id: UUID) -> AsyncIterator[None]:
        turn = self._grants.setdefault(grant_id, asyncio.Lock())
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(WAIT_S):
                    await stack.enter_async_context(turn)
                    await stack.enter_async_context(self._grants_at_once)
            except TimeoutError:
                message = "calls before this one still wait for a grant that is locked"
                raise Retry("lock_held", message, hint="try again") from None
            yield

    async def _once(self, work: Callable[[Tx], T]) -> T:
        with translated(self._connector):
            async with self._pool.transaction() as lent:
                return await greenlet_spawn(work, PooledTx(lent))

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()
