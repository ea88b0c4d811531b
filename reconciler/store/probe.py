"""Whether a server answers, and the first database in it: before there is anything to store."""

from __future__ import annotations

import enum
from typing import Final

import psycopg
from psycopg import sql

from reconciler.errors import Retry

CONNECT_S = 2
CREATE_LOCK: Final = 0x6D6F73_637265  # "moscre", of pg_advisory_lock


class Answer(enum.Enum):
    """How a server answers who wants to connect."""

    READY = "a connection works"
    BUSY = "it takes no connection: it starts, recovers, or has no room"
    SILENT = "nothing answers"


def ask(url: str) -> Answer:
    """Try to connect to `url` now."""
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_S) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        # libpq gives no SQLSTATE to a connection that fails; whatever says FATAL is a live server
        return Answer.BUSY if "FATAL:" in str(error) else Answer.SILENT
    return Answer.READY


def answers(url: str) -> bool:
    """Tell whether a connection to `url` works now."""
    return ask(url) is Answer.READY


def ensure_database(admin_url: str, name: str, template: str = "template1") -> None:
    """Create the database `name` unless it is there; `admin_url` names another one.

    Who was killed while creating it leaves a session that goes on creating: the lock waits for it.

    Raises:
        Retry: `database_unavailable`.
    """
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=CONNECT_S) as connection:
            _ensure(connection, name, template)
    except psycopg.Error as error:
        reason = error.sqlstate or "no connection"
        raise Retry("database_unavailable", f"{name} cannot be made: {reason}") from None


def _ensure(connection: psycopg.Connection, name: str, template: str) -> None:
    connection.execute("SET lock_timeout = '20s'")
    connection.execute("SELECT pg_advisory_lock(%s)", [CREATE_LOCK])
    found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
    if found is None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
