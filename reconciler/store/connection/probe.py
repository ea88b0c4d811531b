"""Whether a server answers, and the first database in it: before there is anything to store."""

from __future__ import annotations

import enum
import os
from typing import Final

import psycopg
from psycopg import pq, sql

from reconciler.core.model.text import printable
from reconciler.errors import Retry

CONNECT_S = 2
CREATE_LOCK: Final = 0x6D6F73_637265  # "moscre", of pg_advisory_lock
# what libpq reads besides the variables of its parameters (libpq, "Environment Variables")
UNLISTED: Final = (
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGLOCALEDIR",
    "PGREQUIRESSL",
    "PGOAUTHDEBUG",
)


class ServerState(enum.Enum):
    """How a server answers who wants to connect."""

    READY = "a connection works"
    BUSY = "it accepts no connection: it is starting, recovering or full"
    SILENT = "nothing answers"


def libpq_variables() -> tuple[str, ...]:
    """Return the name of every environment variable that libpq reads."""
    listed = (option.envvar for option in pq.Conninfo.get_defaults())
    return (*(name.decode() for name in listed if name is not None), *UNLISTED)


def drop_libpq_environment() -> None:
    """Remove from this process what the shell says of other PostgreSQL servers.

    A connection string cannot overrule all of it: libpq reads `PGSERVICE`, `PGDATESTYLE`, `PGTZ`
    and `PGGEQO` whatever a string says, and takes no empty `sslmode`. Only for a process whose
    server is one that we started: elsewhere these variables mean what libpq says.
    """
    for name in libpq_variables():
        os.environ.pop(name, None)


def ask(url: str) -> ServerState:
    """Try to connect to `url` now."""
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_S) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        # libpq gives no SQLSTATE to a connection that fails; whatever says FATAL is a live server
        return ServerState.BUSY if "FATAL:" in str(error) else ServerState.SILENT
    return ServerState.READY


def answers(url: str) -> bool:
    """Tell whether a connection to `url` works now."""
    return ask(url) is ServerState.READY


def ensure_database(admin_url: str, name: str, template: str = "template1") -> None:
    """Create the database `name` unless it is there; `admin_url` names another one.

    A process that was killed while creating it leaves a session that continues; the lock waits.

    Raises:
        Retry: `database_unavailable`.
    """
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=CONNECT_S) as connection:
            _ensure(connection, name, template)
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error).strip().partition("\n")[0]
        raise Retry(
            "database_unavailable",
            f"the database {name} cannot be made: {printable(reason, 500)}",
            hint="run the command again once that is corrected; the server's log says more",
        ) from None


def _ensure(connection: psycopg.Connection, name: str, template: str) -> None:
    connection.execute("SET lock_timeout = '20s'")
    connection.execute("SELECT pg_advisory_lock(%s)", [CREATE_LOCK])
    row = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
    if row is None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
