"""The database of a server: store functions run on a pool's connections, beside other work.

A store function is written for commands, so it waits for each statement. Here it runs in a greenlet
of its own, which is left while the event loop waits for the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from reconciler.errors import Retry
from reconciler.store.connection.connector import Connector
from reconciler.store.connection.exchange import BEGIN, COMMIT
from reconciler.store.connection.pool import Lent, Pool
from reconciler.store.connection.session import TimeLimits
from reconciler.store.connection.statements import Conflict, translated
from reconciler.store.db import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, Tx

if TYPE_CHECKING:
    from collections.abc import Callable

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
