"""Migrations: the missing ones run by Alembic, under a lock. They ship with the package."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext

from reconciler.errors import NeedsEdit
from reconciler.packaged_files import data_dir
from reconciler.store.db import MigrationTx
from reconciler.store.roles.catalog import roles_are_made
from reconciler.store.roles.making import make_roles
from reconciler.store.schema import HEAD, MIGRATIONS, Revisions, revisions, unknown_migration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.store.db import Database

MIGRATION_LOCK: Final = 0x6D6F73_6D6967  # "mosmig", of pg_advisory_xact_lock
LOCK_TIMEOUT: Final = "20s"
# A superuser's tables would have another owner than those before, and be open to nobody.
BECOME_OWNER: Final = sa.text("""
SELECT set_config('role', r.rolname, true) FROM pg_class AS c JOIN pg_roles AS r ON r.oid = relowner
WHERE c.oid = to_regclass('federation_audit_head') AND r.rolname <> current_user
    AND pg_has_role(r.oid, 'MEMBER')
""")
MIN_SERVER: Final = 150_000  # server_version_num of PostgreSQL 15


def upgrade(database: Database, to: str = HEAD) -> Revisions:
    """Run the missing migrations up to one, each in a transaction, under an advisory lock.

    In a database that has the roles, they then get what the new tables and functions say.

    Raises:
        NeedsEdit: `config_invalid`: the server is older than PostgreSQL 15.
        Refused: `schema_differs`: the database is newer than this version knows.
    """
    while _step(database, to):
        pass
    with _locked(database) as connection:
        tx = MigrationTx(connection)
        if roles_are_made(tx):
            make_roles(tx)
        return revisions(tx)


def _step(database: Database, to: str) -> bool:
    """Run the next migration; return whether there may be another."""
    with _locked(database) as connection:
        _check_server(connection)
        connection.execute(BECOME_OWNER)
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in MIGRATIONS:
            raise unknown_migration(current)
        if current is not None and current >= to:
            return False
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, MIGRATIONS[MIGRATIONS.index(current) + 1 if current else 0])
        return True


@contextmanager
def _locked(database: Database) -> Iterator[sa.Connection]:
    """Open a transaction that changes the schema, which nobody else does meanwhile."""
    with database.connection() as connection:
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
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
