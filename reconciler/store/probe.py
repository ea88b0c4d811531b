"""Whether a server answers, and the first database in it: before there is anything to store."""

from __future__ import annotations

import psycopg
from psycopg import sql

CONNECT_S = 2


def answers(url: str) -> bool:
    """Tell whether a connection to `url` works now."""
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_S) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def ensure_database(admin_url: str, name: str, template: str = "template1") -> None:
    """Create the database `name` unless it is there; `admin_url` names another one."""
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=CONNECT_S) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
        if found is None:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
