"""Making the roles as `core/privileges.py` says; also printed, for those who run it themselves.

All that is granted to a role of ours or to PUBLIC, and is not in the table, is revoked. What others
were granted by hand is left, and `db check` shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from reconciler.core.privileges import LOGINS, OWNER, Privilege
from reconciler.errors import Refused
from reconciler.store.roles.catalog import Catalog, role_differences
from reconciler.store.schema import revisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.store.db import Tx

_ENUMS: Final = (
    "federation_grant_status",
    "federation_issuance_status",
    "federation_peer_status",
    "federation_token_status",
)

_COMMENT: Final = "the login of the Mosaic Federation gateway in the database "
_OTHER_DATABASE_OF_LOGIN: Final = """
SELECT d.datname AS name FROM pg_roles AS r JOIN pg_database AS d
    ON shobj_description(r.oid, 'pg_authid') = CAST(:comment AS text) || d.datname
WHERE r.rolname = :login AND d.datname <> current_database()
"""


def make_roles(tx: Tx) -> None:
    """Make the roles, and grant exactly what they may do; nothing is done where nothing differs.

    In a database that a later version has migrated the roles are that version's, and stay.

    Raises:
        NeedsEdit: `schema_missing`; `config_invalid`: the login may not do it.
    """
    if not revisions(tx).unknown and role_differences(tx, of_ours=True):
        for statement in role_statements(tx):
            tx.run_script(statement)


def set_password(tx: Tx, login: str, password: str) -> None:
    """Let a role log in with a password. The server gets a verifier of it, and logs no secret."""
    verifier = tx.driver.pgconn.encrypt_password(
        password.encode(), login.encode(), b"scram-sha-256"
    ).decode()
    tx.run_script(f"ALTER ROLE {_quoted(login)} LOGIN PASSWORD {sql.Literal(verifier).as_string()}")


def require_own_login(tx: Tx, login: str) -> None:
    """Raise if a role logs in to another database of this server.

    Raises:
        Refused: `state_conflict`.
    """
    row = tx.row(_OTHER_DATABASE_OF_LOGIN, login=login, comment=_COMMENT)
    if row is not None:
        raise Refused(
            "state_conflict",
            f"{login} is the login of the gateway in the database {row['name']!r}, on this server:"
            " another password would lock that gateway out",
            hint="use another server for this gateway (docs/roles.md); or, if that one is gone:"
            f" COMMENT ON ROLE {login} IS NULL",
        )


def set_login(tx: Tx, login: str, password: str) -> None:
    """Let a role log in to this database; its comment says so to the gateway of another one."""
    set_password(tx, login, password)
    row = tx.row("SELECT CAST(:comment AS text) || current_database() AS text", comment=_COMMENT)
    assert row is not None
    tx.run_script(f"COMMENT ON ROLE {_quoted(login)} IS {sql.Literal(row['text']).as_string()}")


def role_statements(tx: Tx) -> tuple[str, ...]:
    """Return the statements that make the database so, whatever it is now."""
    database = Catalog.read(tx)
    path = f"SET LOCAL search_path TO {_quoted(database.schema)}, pg_temp"
    owner = OWNER if database.owner_is_superuser else database.owner
    statements = [path, *(_create(name) for name in LOGINS)]
    for name, member_of in LOGINS.items():
        row = database.roles.get(name)
        if row is not None and row["powerful"]:
            statements.append(
                f"ALTER ROLE {_quoted(name)} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
                " NOBYPASSRLS"
            )
        has = set(row["member_of"]) if row is not None else set()
        statements += [
            f"REVOKE {_quoted(role)} FROM {_quoted(name)}" for role in sorted(has - set(member_of))
        ]
        statements += [
            f"GRANT {_quoted(role)} TO {_quoted(name)}" for role in sorted(set(member_of) - has)
        ]
    if owner != database.owner:
        statements += _hand_over(database, owner)
    return (*statements, *_close(database, owner), *_grant(database.privileges()))


def _create(role: str) -> str:
    return (
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
        f" THEN CREATE ROLE {_quoted(role)} NOLOGIN; END IF; END $$"
    )


def _hand_over(database: Catalog, owner: str) -> Iterator[str]:
    """Make a role without power the owner of what a superuser has made."""
    yield _create(owner)
    yield f"GRANT CREATE, USAGE ON SCHEMA {_quoted(database.schema)} TO {owner}"
    yield f"GRANT CONNECT, TEMPORARY ON DATABASE {_quoted(database.name)} TO {owner}"
    for table in database.tables:
        yield f"ALTER TABLE {_quoted(table)} OWNER TO {owner}"
    for function in database.functions:
        yield f"ALTER FUNCTION {function} OWNER TO {owner}"
    for enum in _ENUMS:
        yield f"ALTER TYPE {enum} OWNER TO {owner}"


def _close(database: Catalog, owner: str) -> Iterator[str]:
    """Take all from PUBLIC and from the roles, of what there is and of what is made later."""
    everybody = f"PUBLIC, {', '.join(map(_quoted, LOGINS))}"
    yield f"REVOKE ALL ON TABLE {_list(database.tables)} FROM {everybody}"
    if database.sequences:
        yield f"REVOKE ALL ON SEQUENCE {_list(database.sequences)} FROM {everybody}"
    if database.functions:
        yield f"REVOKE ALL ON FUNCTION {', '.join(database.functions)} FROM {everybody}"
    yield f"REVOKE ALL ON SCHEMA {_quoted(database.schema)} FROM {everybody}"
    yield f"REVOKE ALL ON DATABASE {_quoted(database.name)} FROM {everybody}"
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        yield (
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {_quoted(owner)} REVOKE ALL ON {kind}"
            f" FROM {everybody}"
        )


def _grant(privileges: Iterable[Privilege]) -> Iterator[str]:
    columns: dict[tuple[str, str, str, str], list[str]] = {}
    for each in sorted(privileges):
        columns.setdefault((each.kind, each.name, each.verb, each.role), []).append(each.column)
    for (kind, name, verb, role), named in columns.items():
        which = f" ({_list(named)})" if named != [""] else ""
        place = name if kind == "FUNCTION" else _quoted(name)
        yield f"GRANT {verb}{which} ON {kind} {place} TO {_quoted(role)}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()
