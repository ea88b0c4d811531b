"""Migrations: the missing ones run by Alembic, under a lock. They ship with the package.

Only this needs SQLAlchemy's engine, whose import takes as long as most commands.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reconciler.core.model.times import rfc3339
from reconciler.errors import NeedsEdit, Retry
from reconciler.packaged_files import data_dir
from reconciler.store.connection.session import TimeLimits
from reconciler.store.connection.statements import (
    in_driver_form,
    statement_failure,
    translated,
    without_conflict,
)
from reconciler.store.db import Tx, begin
from reconciler.store.roles.catalog import roles_are_made
from reconciler.store.roles.making import make_roles
from reconciler.store.schema import HEAD, MIGRATIONS, Revisions, revisions, unknown_migration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.store.connection.connector import Connector
    from reconciler.store.db import Database

Result = TypeVar("Result")

MIGRATION_LOCK: Final = 0x6D6F73_6D6967  # "mosmig", of pg_advisory_xact_lock
MIGRATION_LOCK_TIMEOUT: Final = "20s"  # for the migrations of another process
# For a table. Whoever needs the table meanwhile queues behind this wait, so it is short; and it is
# below the server's deadlock_timeout (1 s), so that of two that block each other this one gives up.
TABLE_LOCK_TIMEOUT: Final = "800ms"
PAUSE_S: Final = 1.0  # in which those who queued are served
ATTEMPTS: Final = 100  # about 3 minutes, while a backup reads the table
# A superuser's tables would have another owner than those before, and be open to nobody.
BECOME_OWNER: Final = sa.text("""
SELECT set_config('role', r.rolname, true) FROM pg_class AS c JOIN pg_roles AS r ON r.oid = relowner
WHERE c.oid = to_regclass('federation_audit_head') AND r.rolname <> current_user
    AND pg_has_role(r.oid, 'MEMBER')
""")
BECOME_LOGIN: Final = sa.text("RESET ROLE")  # who may make roles, which the owner may not
LONGEST_USER: Final = """
SELECT a.application_name AS name, a.xact_start AS since
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_stat_activity AS a USING (pid)
WHERE c.relname LIKE 'federation\\_%' AND l.granted AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY a.xact_start LIMIT 1
"""
MIN_SERVER: Final = 150_000  # server_version_num of PostgreSQL 15
DRIVER: Final = "postgresql+psycopg://"  # all else is libpq's to parse


class MigrationTx(Tx):
    """A transaction on a connection of SQLAlchemy, which Alembic uses."""

    __slots__ = ("engine_connection",)

    def __init__(self, engine_connection: sa.Connection) -> None:
        self.engine_connection = engine_connection

    def rows(self, statement: str, /, **values: object) -> list[dict[str, Any]]:
        """Run a statement and return its rows."""
        result = self.engine_connection.exec_driver_sql(in_driver_form(statement).decode(), values)
        return [dict(row) for row in result.mappings()]

    def run(self, statement: str, /, **values: object) -> int:
        """Run a statement and return how many rows it touched."""
        return self.engine_connection.exec_driver_sql(
            in_driver_form(statement).decode(), values
        ).rowcount

    def run_script(self, script: str) -> None:
        """Run statements as they are: a colon or a percent sign is no parameter."""
        self.engine_connection.exec_driver_sql(script, execution_options={"no_parameters": True})

    @property
    def driver(self) -> Any:
        """The connection of psycopg."""
        return self.engine_connection.connection.driver_connection


@contextmanager
def engine_transaction(database: Database) -> Iterator[sa.Connection]:
    """Open a transaction of SQLAlchemy's without limits of time.

    Raises:
        MosaicError: as `Database.transaction`.
    """
    connector = database.connector
    engine = sa.create_engine(
        DRIVER, poolclass=NullPool, creator=connector.open, use_native_hstore=False
    )
    with without_conflict(), _engine_translated(connector), engine.begin() as connection:
        begin(MigrationTx(connection), connector, TimeLimits())
        yield connection


@contextmanager
def _engine_translated(connector: Connector) -> Iterator[None]:
    """Do as `translated` with the driver's errors in those of SQLAlchemy."""
    try:
        with translated(connector):
            yield
    except DBAPIError as error:
        lost = error.connection_invalidated  # a limit of idle time ends the session too, say
        failure = statement_failure(error.orig, connector, lost=lost)
        # the traceback still leads to the statement
        raise failure.with_traceback(error.__traceback__) from None
    except SQLAlchemyError as error:
        raise Retry(
            "database_unavailable", f"{connector.address} failed: {type(error).__name__}"
        ) from None


def upgrade(database: Database, to: str = HEAD) -> Revisions:
    """Run the missing migrations up to one, each in a transaction, under an advisory lock.

    In a database that has the roles, they get in the same transaction what the new tables and
    functions say: processes of the version before go on meanwhile, and a kill leaves none without
    its rights. One that a later version has migrated, and that this one may use, stays as it is.

    Raises:
        NeedsEdit: `config_invalid`: the server is older than PostgreSQL 15.
        Refused: `schema_differs`: the database is newer than this version may use.
        Retry: `lock_held`: a table is in use.
    """
    while _once_tables_are_free(database, lambda: _step(database, to)):
        pass
    return _once_tables_are_free(database, lambda: _finish(database))


def _once_tables_are_free(database: Database, run: Callable[[], Result]) -> Result:
    """Run a transaction, and again as long as others use a table that it changes.

    Raises:
        Retry: `lock_held`, naming who has used one for longest.
    """
    for _ in range(ATTEMPTS):
        try:
            return run()
        except Retry as error:
            if error.code != "lock_held":
                raise
        time.sleep(PAUSE_S)
    with database.transaction() as tx:
        row = tx.row(LONGEST_USER)
    user = f"{row['name']}, since {rfc3339(row['since'])}" if row else "it has just ended"
    raise Retry(
        "lock_held",
        f"a migration waits for a table that is in use: {user}",
        hint="nothing is half done; run the command again when that has ended",
    )


def _step(database: Database, to: str) -> bool:
    """Run the next migration; return whether there may be another."""
    with _locked(database) as connection:
        _check_server(connection)
        connection.execute(BECOME_OWNER)
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in MIGRATIONS:
            if revisions(MigrationTx(connection)).usable:
                return False
            raise unknown_migration(current)
        if current is not None and current >= to:
            return False
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, MIGRATIONS[MIGRATIONS.index(current) + 1 if current else 0])
        connection.execute(BECOME_LOGIN)
        _grant_again(MigrationTx(connection))
        return True


def _finish(database: Database) -> Revisions:
    with _locked(database) as connection:
        tx = MigrationTx(connection)
        _grant_again(tx)
        return revisions(tx)


def _grant_again(tx: Tx) -> None:
    """Grant the roles their rights, in a database that has them."""
    if roles_are_made(tx):
        make_roles(tx)


@contextmanager
def _locked(database: Database) -> Iterator[sa.Connection]:
    """Open a transaction that changes the schema, which nobody else does meanwhile."""
    with engine_transaction(database) as connection:
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_TIMEOUT}'"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}'"))
        yield connection


def _check_server(connection: sa.Connection) -> None:
    version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
    if version < MIN_SERVER:
        raise NeedsEdit(
            "config_invalid",
            f"the server is PostgreSQL {version // 10_000}, expected 15 or later",
            hint="use a newer server",
        )


def alembic_config() -> Config:
    """Return Alembic's settings: where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(data_dir("migrations")).replace("%", "%%"))
    return config
