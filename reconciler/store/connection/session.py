"""What every transaction relies on, whatever the role, the database or PGOPTIONS have set.

Where the session is ours, all of it is set once, for the session; else by the first statements of
each transaction, for that alone: a proxy that pools transactions keeps no session. There, isolation
and deferrability are part of BEGIN (`Connector`). What only a superuser may set, and what cannot be
changed, is checked and refused by name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.store.connection.conninfo import Address

IDLE_TIMEOUT_MS: Final = 60_000
CLIENT_CHECK_MS: Final = 1_000  # in which a server notices that who waits for a lock was killed
ENCODING: Final = "UTF8"
OPTIONS: Final = "PGOPTIONS"  # libpq's variable of settings for each session

_SETTINGS: Final[Mapping[str, str]] = {
    "client_connection_check_interval": str(CLIENT_CHECK_MS),
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "client_encoding": ENCODING,
    "client_min_messages": "notice",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "xmloption": "content",
    "check_function_bodies": "on",
    "default_tablespace": "",  # the database's own
    "temp_tablespaces": "",
    "default_table_access_method": "heap",
    "row_security": "off",  # an error rather than rows that silently are not there
    "jit": "off",  # costs more than our statements take
    "mosaic.writer": "on",  # else a trigger notes a change by hand
}
_LIMITS: Final = ("lock", "statement", "idle_in_transaction_session")
# Of later releases than the oldest that we support: set where there are such settings.
_LATER_SETTINGS: Final[Mapping[str, str]] = {
    "restrict_nonsystem_relation_kind": "",  # 17
}
# What a session begins transactions with; elsewhere `Connector` makes it a part of BEGIN.
_BEGIN: Final[Mapping[str, str]] = {
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
# A commit that was answered must last: an enrollment, a revocation. Other values are the operator's
# choice of which standbys to wait for.
_DURABLE: Final = "replace(current_setting('synchronous_commit'), 'off', 'on')"
# The schema of our tables, quoted: the first on the path that has them, then any other; where none
# has (a database before its first migration) the first on the path.
TABLES_SCHEMA: Final = """
quote_ident(coalesce(
    (SELECT n.nspname FROM pg_catalog.pg_class AS c
       JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relname = 'federation_audit_head' AND c.relkind = 'r'
      ORDER BY array_position(current_schemas(false), n.nspname), n.nspname <> 'public', n.nspname
      LIMIT 1),
    (SELECT each FROM unnest(current_schemas(false)) AS each
      WHERE left(each, 3) <> 'pg_' AND each <> 'information_schema' LIMIT 1),
    'public'))"""


@dataclass(frozen=True, slots=True)
class Session:
    """What a transaction's server is and does not let us change; role and database as in SQL."""

    encoding: str
    replication_role: str
    read_only: bool
    standby: bool
    role: str
    database: str

    def reset(self, setting: str, who: str = "") -> str:
        """Return what takes a setting back: an edit of the environment, or statements of `who`."""
        if setting in os.environ.get(OPTIONS, ""):
            return f"take it out of {OPTIONS}"
        return (
            f"{who}ALTER ROLE {self.role} RESET {setting};"
            f" ALTER ROLE {self.role} IN DATABASE {self.database} RESET {setting};"
            f" ALTER DATABASE {self.database} RESET {setting}"
        )


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a transaction may wait for a lock, and for a statement; 0 ms is no limit."""

    lock_ms: int = 0
    statement_ms: int = 0

    def as_parameters(self) -> dict[str, str]:
        """Return the parameters of `SESSION` and of `TRANSACTION`."""
        limits_ms = (self.lock_ms, self.statement_ms, IDLE_TIMEOUT_MS)
        return dict(zip(_LIMITS, map(str, limits_ms), strict=True))


def _settings_statement(*, local: bool) -> str:
    """Return the statement that sets all of it, for a transaction (`local`) or a session."""
    scope = "true" if local else "false"
    settings = [f"set_config('{name}', '{value}', {scope})" for name, value in _SETTINGS.items()]
    settings += [
        f"CASE WHEN current_setting('{name}', true) IS NOT NULL"
        f" THEN set_config('{name}', '{value}', {scope}) END"
        for name, value in _LATER_SETTINGS.items()
    ]
    settings += [f"set_config('{name}_timeout', :{name}, {scope})" for name in _LIMITS]
    if not local:
        settings += [f"set_config('{name}', '{value}', false)" for name, value in _BEGIN.items()]
    settings.append(f"set_config('synchronous_commit', {_DURABLE}, {scope})")
    settings.append(f"set_config('search_path', {TABLES_SCHEMA} || ', pg_temp', {scope})")
    session = (
        "current_setting('server_encoding') AS encoding",
        "current_setting('session_replication_role') AS replication_role",
        "current_setting('transaction_read_only') = 'on' AS read_only",
        "pg_is_in_recovery() AS standby",
        "quote_ident(session_user) AS role",
        "quote_ident(current_database()) AS database",
        "pg_backend_pid() AS pid",
    )
    return f"SELECT {', '.join((*settings, *session))}"


TRANSACTION: Final = _settings_statement(local=True)
SESSION: Final = _settings_statement(local=False)


def unlimited(server_version: int) -> str:
    """Return the statements that lift the limits of time which a role may have, in a transaction.

    Such a limit is in force for a statement that sets others, and for what SQLAlchemy asks a new
    connection. These take no time, and are no queries, which a role can have compiled (`jit`).
    """
    names = ["statement_timeout", "idle_in_transaction_session_timeout"]
    if server_version >= 170_000:
        names.append("transaction_timeout")
    return "; ".join(f"SET LOCAL {name} = 0" for name in names)


def read_session(row: Mapping[str, Any], address: Address) -> Session:
    """Return what `SESSION` or `TRANSACTION` says of the server.

    Raises:
        NeedsEdit: `config_invalid`, naming the encoding or the setting that is not usable.
    """
    session = Session(**{name: row[name] for name in Session.__slots__})
    if session.encoding != ENCODING:
        raise NeedsEdit(
            "config_invalid",
            f"{address} has the encoding {session.encoding!r}, expected {ENCODING!r}",
            hint="make another (createdb -E UTF8 -T template0 NAME), and name it in"
            " MOSAIC_DATABASE_URL",
        )
    if session.replication_role != "origin":
        raise NeedsEdit(
            "config_invalid",
            f"{address} has session_replication_role set to {session.replication_role!r} for the"
            f" role {session.role}, expected 'origin': no trigger would be in force",
            hint=session.reset("session_replication_role", "as a superuser: "),
        )
    return session


def read_only(address: Address, session: Session) -> NeedsEdit:
    """Return the error of a transaction that can only read."""
    if session.standby:
        return NeedsEdit(
            "config_invalid",
            f"{address} is read-only: the server is a standby",
            hint="name the primary, or every host and target_session_attrs=read-write",
        )
    return NeedsEdit(
        "config_invalid",
        f"{address} is read-only: default_transaction_read_only is on",
        hint=session.reset("default_transaction_read_only"),
    )
