"""Sessions of the roles of a database, and whether a statement is permitted to one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.errors import GeneratedAlways, InsufficientPrivilege, IntegrityError, NoDataFound

from reconciler.store.roles.making import make_roles
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY: Final = "somebody_else"  # a login that is a member of nothing: what PUBLIC may do


def rows_with_roles(database_url: str) -> Rows:
    """Return a database with the roles, a grant and an invitation in it."""
    rows = Rows(database_url)
    with rows.database.transaction() as tx:
        make_roles(tx)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    rows.invite("beta-tasks")
    return rows


@contextmanager
def session(url: str, role: str) -> Iterator[psycopg.Connection]:
    """Open a session that is the role's, as if it had logged in."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"DO $$ BEGIN CREATE ROLE {NOBODY}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        connection.execute(f"SET SESSION AUTHORIZATION {role}")
        yield connection


def permits(connection: psycopg.Connection, statement: str) -> bool:
    """Try a statement, and undo it. Whom a rule of the data refuses had the right to try."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except InsufficientPrivilege as error:
        # a trigger that refuses a change has the same SQLSTATE
        return not str(error).startswith(("permission denied", "must be owner"))
    except GeneratedAlways:  # which nobody may write
        return False
    except (IntegrityError, NoDataFound):
        return True
    return True
