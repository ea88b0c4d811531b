"""Migrations: the missing ones run by Alembic, under a lock. They ship with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext

from reconciler.errors import NeedsEdit
from reconciler.packaged_files import data_dir
from reconciler.store.schema import HEAD, MIGRATIONS, Revisions, revisions, unknown_migration

if TYPE_CHECKING:
    from reconciler.store.db import Database

MIGRATION_LOCK: Final = 0x6D6F73_6D6967  # "mosmig", of pg_advisory_xact_lock
LOCK_TIMEOUT: Final = "20s"
MIN_SERVER: Final = 150_000  # server_version_num of PostgreSQL 15


def upgrade(database: Database) -> Revisions:
    """Run the missing migrations, each in a transaction of its own, under an advisory lock.

    Raises:
        NeedsEdit: `config_invalid`: the server is older than PostgreSQL 15.
        Refused: `schema_differs`: the database is newer than this version knows.
    """
    while _step(database):
        pass
    with database.transaction() as tx:
        return revisions(tx)


def _step(database: Database) -> bool:
    """Run the next migration; return whether there may be another."""
    with database.connection() as connection:
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        _check_server(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in MIGRATIONS:
            raise unknown_migration(current)
        if current == HEAD:
            return False
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, MIGRATIONS[MIGRATIONS.index(current) + 1 if current else 0])
        return True


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
