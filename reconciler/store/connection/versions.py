"""The versions of PostgreSQL: that of the client library, and that of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import pq

from reconciler.store.connection.connector import Connector

if TYPE_CHECKING:
    from reconciler.store.connection.conninfo import Source


def client_version() -> str:
    """Return the version of libpq, such as 17.6."""
    number = pq.version()
    return f"{number // 10_000}.{number % 10_000}"


def server_version(source: Source, application_name: str) -> str:
    """Return the version of a server, such as 15.14.

    Raises:
        NeedsEdit, Retry: it cannot be reached.
    """
    with Connector(source, application_name, lasting=False).open() as connection:
        text = connection.info.parameter_status("server_version") or ""
    return text.partition(" ")[0]
