"""The schema: brought up to date by Alembic, and compared with what this version expects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from reconciler.errors import NeedsEdit, Refused
from reconciler.resources import data_dir

if TYPE_CHECKING:
    from reconciler.store.tx import Database, Tx

MIGRATION_LOCK: Final = 0x6D6F73_6D6967  # "mosmig", of pg_advisory_xact_lock
LOCK_TIMEOUT: Final = "20s"
MIN_SERVER: Final = 150_000  # server_version_num of PostgreSQL 15

EXPECTED_TRIGGERS: Final = frozenset(
    {
        f"{table}_{what}"
        for table in (
            "federation_peers",
            "federation_grants",
            "federation_enrollment_tokens",
            "federation_certificates",
        )
        for what in ("moves", "kept")
    }
    | {"federation_audit_log_append_only", "federation_audit_head_kept"}
)


@dataclass(frozen=True, slots=True)
class Revisions:
    """The migration that the database is at (None: none) and the newest that we know."""

    current: str | None
    head: str

    @property
    def up_to_date(self) -> bool:
        """Whether the two are the same."""
        return self.current == self.head


def upgrade(database: Database) -> Revisions:
    """Run every missing migration, each in one transaction, under an advisory lock.

    Raises:
        NeedsEdit: `config_invalid`: the server is older than PostgreSQL 15.
        Refused: `schema_differs`: the database is newer than this version knows.
    """
    with database.connection() as connection:
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        _check_server(connection)
        config = _config()
        known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise Refused(
                "schema_differs",
                f"the database is at migration {current!r}, which this version does not know",
                hint="install the version that ran it, or a later one",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return revisions(database)


def revisions(database: Database) -> Revisions:
    """Return the database's migration and our newest."""
    with database.connection() as connection:
        return _revisions(connection)


def require_current(database: Database) -> None:
    """Raise `NeedsEdit` (`schema_missing`) unless the database is at our newest migration."""
    _require(revisions(database))


def require_current_in(tx: Tx) -> None:
    """Do as `require_current`, in a transaction that is open."""
    _require(_revisions(tx.connection))


def _revisions(connection: sa.Connection) -> Revisions:
    return Revisions(MigrationContext.configure(connection).get_current_revision(), _head())


@cache
def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _require(found: Revisions) -> None:
    if not found.up_to_date:
        raise NeedsEdit(
            "schema_missing",
            f"the database is at migration {found.current!r}, expected {found.head!r}",
            hint="run `mosaic federation db upgrade`",
        )


def differences(tx: Tx) -> tuple[str, ...]:
    """Return what the database lacks of the invariants: triggers off, constraints not checked."""
    triggers = {
        row["tgname"]: row["tgenabled"]
        for row in tx.rows(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal"
            " AND tgrelid::regclass::text LIKE 'federation_%'"
        )
    }
    missing = sorted(EXPECTED_TRIGGERS - triggers.keys())
    off = sorted(name for name in EXPECTED_TRIGGERS & triggers.keys() if triggers[name] != "O")
    loose = tx.rows(
        "SELECT conname FROM pg_constraint WHERE NOT convalidated"
        " AND conrelid::regclass::text LIKE 'federation_%' ORDER BY conname"
    )
    return (
        *(f"the trigger {name} is missing" for name in missing),
        *(f"the trigger {name} is disabled" for name in off),
        *(f"the constraint {row['conname']} is not validated" for row in loose),
    )


def _check_server(connection: sa.Connection) -> None:
    version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
    if version < MIN_SERVER:
        raise NeedsEdit(
            "config_invalid",
            f"the server is PostgreSQL {version // 10_000}, expected 15 or later",
            hint="use a newer server",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(data_dir("migrations")).replace("%", "%%"))
    return config
