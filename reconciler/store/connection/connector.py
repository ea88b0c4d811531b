"""A connection to PostgreSQL: opened by libpq, or the one error that says why it is not."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import IsolationLevel, pq
from psycopg.adapt import Loader
from psycopg.pq import Format

from reconciler.errors import MosaicError, NeedsEdit
from reconciler.store.connection import severing
from reconciler.store.connection.connection_errors import connection_failure
from reconciler.store.connection.conninfo import (
    ESCAPING,
    HIDDEN,
    VARIABLE,
    Address,
    address_of,
    is_mangled,
    session_conninfo,
)
from reconciler.store.connection.session import unlimited

if TYPE_CHECKING:
    from psycopg.abc import AdaptContext, Buffer

    from reconciler.store.connection.conninfo import ConninfoSource
    from reconciler.store.connection.session import Session


_MOMENT: Final = psycopg.adapters.types["timestamptz"].oid
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(microsecond=0, tzinfo=UTC)
_DRIVER_LOADER: Final = psycopg.adapters.get_loader(_MOMENT, Format.TEXT) or Loader


class _MomentLoader(Loader):
    """Reads a moment that Python has no value for, such as `infinity`, as the nearest one it has.

    Else one such value would hide every row that is read with it.
    """

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._load = _DRIVER_LOADER(oid, context).load

    def load(self, data: Buffer) -> datetime:
        """Return the moment of a text of the server."""
        try:
            moment: datetime = self._load(data)
        except psycopg.DataError:
            text = bytes(data)
            return _FIRST if text.startswith(b"-") or text.endswith(b"BC") else _LAST
        return moment


psycopg.adapters.register_loader(_MOMENT, _MomentLoader)


class Connector:
    """Opens connections. Text and password are read at each one, for they may have changed.

    `address` and `session` are of the last one. `lasting` is for a long-running process, to which
    every failure is an outage. The transactions of a `snapshot` read one moment, and write nothing.
    """

    def __init__(
        self,
        source: ConninfoSource,
        application_name: str,
        *,
        lasting: bool,
        snapshot: bool = False,
    ) -> None:
        self.lasting = lasting
        self._snapshot = snapshot
        self._source = source
        self._name = application_name
        self.address: Address = HIDDEN
        self.session: Session | None = None

    def open(self) -> psycopg.Connection:
        """Connect.

        Raises:
            NeedsEdit: `config_invalid`: as things are, no retry can help.
            Retry: `database_unavailable`.
        """
        severing.require_time()
        text, conninfo = self._read()
        try:
            # no prepared statements: behind a transaction-pooling proxy they belong to another
            connection = psycopg.connect(conninfo, prepare_threshold=None)
        except (psycopg.Error, UnicodeError) as error:
            failure = _failure(error, text, conninfo)
        else:
            severing.note(connection)
            with ExitStack() as stack:
                stack.callback(connection.close)
                connection.isolation_level = IsolationLevel.READ_COMMITTED  # part of BEGIN
                if self._snapshot:
                    connection.isolation_level = IsolationLevel.REPEATABLE_READ
                    connection.read_only = True
                connection.deferrable = False
                connection.execute(unlimited(connection.info.server_version))
                stack.pop_all()
            return connection
        raise failure

    async def open_async(self) -> psycopg.AsyncConnection:
        """Connect as `open` does; files are read and commands run in a thread."""
        severing.require_time()
        text, conninfo = await asyncio.to_thread(self._read)
        try:
            connection = await psycopg.AsyncConnection.connect(conninfo, prepare_threshold=None)
        except (psycopg.Error, UnicodeError) as error:
            failure = await asyncio.to_thread(_failure, error, text, conninfo)
        else:
            severing.note(connection)
            async with AsyncExitStack() as stack:
                stack.push_async_callback(connection.close)
                await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
                await connection.set_deferrable(False)
                await connection.execute(unlimited(connection.info.server_version))
                stack.pop_all()
            return connection
        raise failure

    def _read(self) -> tuple[str, str]:
        text = self._source if isinstance(self._source, str) else self._source()
        self.address = address_of(text)
        return text, session_conninfo(text, self._name)


def _failure(error: Exception, text: str, conninfo: str) -> MosaicError:
    """Return what is raised, outside of `except`: a traceback shows the cause that is set here."""
    if is_mangled(text):  # what libpq says may quote a piece of the password
        return NeedsEdit(
            "config_invalid",
            f"the database cannot be reached, and {VARIABLE} has an @ in its host or database",
            hint=f"{ESCAPING}, / is %2F",
        )
    failure = connection_failure(error, address_of(text), conninfo)
    failure.__cause__ = error
    return failure


def client_version() -> str:
    """Return the version of libpq, such as 17.6."""
    number = pq.version()
    return f"{number // 10_000}.{number % 10_000}"


def server_version(source: ConninfoSource, application_name: str) -> str:
    """Return the version of a server, such as 15.14.

    Raises:
        NeedsEdit, Retry: it cannot be reached.
    """
    with Connector(source, application_name, lasting=False).open() as connection:
        text = connection.info.parameter_status("server_version") or ""
    return text.partition(" ")[0]
