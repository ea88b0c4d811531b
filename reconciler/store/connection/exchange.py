"""Statements that are sent together and answered together: one round trip, however many they are.

The pipeline of psycopg 3.3 waits for the server after BEGIN, after COMMIT and at its end, and each
of its cursors takes as long as the statement. So libpq is called through `psycopg.pq` here, while
psycopg still adapts the values and waits for the socket.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from psycopg import generators, waiting
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import OperationalError, error_from_result
from psycopg.pq import ExecStatus, Format, TransactionStatus

from reconciler.store.connection.severing import sever
from reconciler.store.connection.statements import in_server_form

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from psycopg import abc
    from psycopg.abc import Buffer, PQGen
    from psycopg.pq.abc import PGresult

BEGIN: Final = "BEGIN"
COMMIT: Final = "COMMIT"
MAX_PREPARED: Final = 200  # statements of a connection
ANSWER_S: Final = 90.0  # longer than the server lets a statement and its locks take
LOOK_AGAIN_S: Final = 0.1  # at a socket that is silent, as psycopg does


class _Message(NamedTuple):
    """A statement with its values, as the server takes them.

    One with a `name` is prepared; if that is `new`, the server prepares it first, and answers that.
    """

    text: bytes
    name: bytes
    new: bool
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Format]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to one statement."""

    columns: tuple[str, ...]
    tuples: list[tuple[Any, ...]]
    touched: int

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows by the names of their columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.tuples]


class Exchanges:
    """The exchanges of one connection. If its session is ours, each statement is prepared once."""

    def __init__(self, connection: psycopg.AsyncConnection, *, prepares: bool) -> None:
        self._connection, self._prepares = connection, prepares
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._named = 0

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.pgconn.transaction_status != TransactionStatus.IDLE

    async def run(
        self, statements: Sequence[str], values: Mapping[str, object], *, binary: bool = False
    ) -> Answer:
        """Run statements in their order, and return the answer to the last but a COMMIT.

        Where no transaction is open, they are one of their own, which ends with the last of them.

        Raises:
            psycopg.Error: of the first that fails; those after it are not run. After `ANSWER_S`
                the connection is cut, as a server that hangs may answer nothing.
        """
        if self._named and not self._names and not self.in_transaction:
            statements, self._named = ("DEALLOCATE ALL", *statements), 0
        transformer = Transformer(self._connection)
        messages = [self._message(transformer, each, values) for each in statements]
        results: list[PGresult] = []
        exchange = self._exchange(messages, Format.BINARY if binary else Format.TEXT, results)
        timer = asyncio.get_running_loop().call_later(ANSWER_S, sever, self._connection)
        try:
            # not by the connection, which asks the server to cancel, and waits for it 10 s
            await waiting.wait_async(exchange, self._connection.pgconn.socket, LOOK_AGAIN_S)
        except BaseException as error:  # answers that nobody reads may be on their way
            self._connection.pgconn.finish()
            if not isinstance(error, OperationalError) or all(map(_is_done, results)):
                raise  # else the server has said why the connection ended
        finally:
            timer.cancel()
        failed = next((each for each in results if not _is_done(each)), None)
        if failed is not None:
            self._names.clear()  # what the server has prepared since, it is told to forget
            raise error_from_result(failed, encoding=transformer.encoding)
        self._names.update({(each.text, each.types): each.name for each in messages if each.new})
        wanted = messages[: -1 if statements[-1] == COMMIT else None]
        return _answer(transformer, results[sum(1 + each.new for each in wanted) - 1])

    def _exchange(
        self, messages: Sequence[_Message], form: Format, results: list[PGresult]
    ) -> PQGen[None]:
        pgconn = self._connection.pgconn
        pgconn.enter_pipeline_mode()
        for text, name, new, values, types, formats in messages:
            if new:
                pgconn.send_prepare(name, text, types)
            if name:
                pgconn.send_query_prepared(name, values, formats, form)
            else:
                pgconn.send_query_params(text, values, types, formats, form)
        pgconn.pipeline_sync()
        yield from generators.send(pgconn)
        while True:
            (result,) = yield from generators.fetch_many(pgconn)
            if result.status == ExecStatus.PIPELINE_SYNC:
                break
            results.append(result)
        pgconn.exit_pipeline_mode()

    def _message(
        self, transformer: abc.Transformer, statement: str, values: Mapping[str, object]
    ) -> _Message:
        text, parameters = in_server_form(statement)
        automatic = [PyFormat.AUTO] * len(parameters)
        dumped = transformer.dump_sequence([values[each] for each in parameters], automatic)
        types, formats = transformer.types or (), transformer.formats or ()
        name, new = self._names.get((text, types), b""), False
        if not name and self._prepares and len(self._names) < MAX_PREPARED:
            self._named += 1
            name, new = f"mosaic_{self._named}".encode(), True
        return _Message(text, name, new, dumped, types, formats)


def _is_done(result: PGresult) -> bool:
    return result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


def _answer(transformer: abc.Transformer, result: PGresult) -> Answer:
    transformer.set_pgresult(result)
    columns = tuple((result.fname(index) or b"").decode() for index in range(result.nfields))
    rows = transformer.load_rows(0, result.ntuples, tuple)
    return Answer(columns, rows, result.command_tuples or 0)
