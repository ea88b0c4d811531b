"""What each role may do: a checked-in matrix, compared with what the database lets it do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.privileges import COMMAND_LINE, OWNER, Role
from reconciler.store.connection import probe
from reconciler.store.db import Database
from reconciler.store.migrate import BECOME_OWNER, engine_transaction, upgrade
from reconciler.store.roles.catalog import (
    differences_if_made,
    role_differences,
    roles_are_made,
)
from reconciler.store.roles.logins import audit_writers, excess_of_session
from reconciler.store.roles.making import make_roles, role_statements
from tests.support.commands.in_process import Quick
from tests.support.database.roles import NOBODY, permits, rows_with_roles, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from reconciler.embedded.postgres.server import Cluster
    from tests.support.gateways.enrollee import Rows

MATRIX: Final = Path(__file__).with_name("role_matrix.txt")
RELATIONS: Final = """
SELECT c.relname, c.relkind = 'v', array_agg(quote_ident(a.attname) ORDER BY a.attnum)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
    AND a.attnum > 0 AND NOT a.attisdropped GROUP BY c.oid ORDER BY 1
"""
FUNCTIONS: Final = """
SELECT format('%s(%s)', proname, oidvectortypes(proargtypes)), prorettype = 'trigger'::regtype,
    format('%s(%s)', proname, (SELECT string_agg(format('NULL::%s', each::regtype), ', ')
        FROM unnest(proargtypes) AS each))
FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1
"""


@pytest.fixture
def rows(database_url: str) -> Rows:
    return rows_with_roles(database_url)


def columnwise(table: str, column: str) -> dict[str, str]:
    return {
        "SELECT": f"SELECT {column} FROM public.{table} LIMIT 0",
        "INSERT": f"INSERT INTO public.{table} ({column}) OVERRIDING SYSTEM VALUE"
        " SELECT NULL WHERE false",
        "UPDATE": f"UPDATE public.{table} SET {column} = DEFAULT WHERE false",
    }


def whole(table: str) -> dict[str, str]:
    return {
        "DELETE": f"DELETE FROM public.{table} WHERE false",
        "TRUNCATE": f"TRUNCATE public.{table} CASCADE",
        "TRIGGER": f"CREATE TRIGGER x BEFORE INSERT ON public.{table}"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "DROP": f"DROP TABLE public.{table} CASCADE",
        "DISABLE TRIGGER": f"ALTER TABLE public.{table} DISABLE TRIGGER USER",
    }


def permitted(connection: psycopg.Connection, role: str) -> Iterator[str]:
    """Yield a line for each thing that the role may do."""
    relations = connection.execute(RELATIONS).fetchall()
    functions = connection.execute(FUNCTIONS).fetchall()
    for name, is_view, columns in relations:
        for verb in ("SELECT",) if is_view else ("SELECT", "INSERT", "UPDATE"):
            able = [each for each in columns if permits(connection, columnwise(name, each)[verb])]
            if able:
                yield f"{role} {verb} {name}: {'*' if able == columns else ', '.join(able)}"
        rest = {"DROP": f"DROP VIEW public.{name} CASCADE"} if is_view else whole(name)
        yield from (f"{role} {verb} {name}" for verb in rest if permits(connection, rest[verb]))
    for signature, for_trigger, call in functions:
        if not for_trigger and permits(connection, f"SELECT public.{call}"):
            yield f"{role} EXECUTE {signature}"
        if permits(connection, f"ALTER FUNCTION public.{signature} SECURITY INVOKER"):
            yield f"{role} ALTER {signature}"
    everywhere = {
        "CREATE in the schema": "CREATE TABLE public.x (y integer)",
        "TEMPORARY in the database": "CREATE TEMPORARY TABLE x (y integer)",
        "CREATE in the database": "CREATE SCHEMA x",
        "SET ROLE to the owner": f"SET ROLE {OWNER}",
        "session_replication_role": "SET session_replication_role = replica",
    }
    yield from (f"{role} {verb}" for verb in everywhere if permits(connection, everywhere[verb]))


def test_each_role_may_do_what_the_matrix_says_and_nothing_else(rows: Rows) -> None:
    actual = []
    for role in (*Role, NOBODY):
        with session(rows.url, role) as connection:
            actual += list(permitted(connection, role))

    assert actual == MATRIX.read_text().splitlines()


def test_roles_are_made_once_and_again_without_a_difference(database_url: str) -> None:
    database = Database(database_url, "tests")
    with database.transaction() as tx:
        assert not roles_are_made(tx)
        assert role_differences(tx)
        make_roles(tx)
        assert roles_are_made(tx)
        assert role_differences(tx) == ()
        for statement in role_statements(tx):
            tx.run(statement)
        assert role_differences(tx) == ()


@pytest.mark.usefixtures("own_logins")
def test_a_login_of_another_gateway_on_the_server_is_left_alone(
    tmp_path: Path, server: Cluster, empty_database_url: str
) -> None:
    gateways = [Quick(tmp_path, {"MOSAIC_DATABASE_URL": empty_database_url})]
    probe.ensure_database(server.url("postgres"), "neighbour")
    gateways.append(Quick(tmp_path, {"MOSAIC_DATABASE_URL": server.url("neighbour")}))
    alpha, beta = gateways
    for each in gateways:
        each.ok("db", "upgrade")
    alpha.ok("db", "roles", "--login", "alpha/mosaic_gateway")
    alpha.ok("db", "roles", "--login", "alpha/mosaic_gateway")
    done = beta("db", "roles", "--login", "beta/mosaic_gateway")
    assert done.code == 1
    assert "would lock that gateway out" in done.err
    assert "COMMENT ON ROLE mosaic_gateway IS NULL" in done.err
    url = (tmp_path / "alpha/mosaic_gateway/database-url").read_text()
    assert not (tmp_path / "beta").exists()
    alpha.ok("grant", "list", MOSAIC_DATABASE_URL=url)
    name = alpha.rows.one("SELECT current_database()")
    assert name in beta.ok("db", "roles").err, "it is told that both share the roles"
    alpha.rows.run("COMMENT ON ROLE mosaic_gateway IS NULL")
    beta.ok("db", "roles", "--login", "beta/mosaic_gateway")


def test_what_was_granted_by_hand_is_told_and_taken_from_the_roles_and_the_public(
    rows: Rows,
) -> None:
    with session(rows.url, "DEFAULT") as connection:
        connection.execute("GRANT SELECT (mac) ON federation_enrollment_tokens TO mosaic_reader")
        connection.execute("GRANT INSERT ON federation_moves TO PUBLIC")
        connection.execute(f"GRANT SELECT ON federation_peers TO {NOBODY}")
    mine = f"{NOBODY} has SELECT on table federation_peers, and should not"
    with rows.database.transaction() as tx:
        assert sorted(role_differences(tx)) == [
            "mosaic_reader has SELECT (mac) on table federation_enrollment_tokens, and should not",
            "public has INSERT on table federation_moves, and should not",
            mine,
        ]
        make_roles(tx)
        assert role_differences(tx) == (mine,)


@pytest.mark.parametrize("role", Role)
def test_a_right_that_was_revoked_by_hand_is_told(rows: Rows, role: Role) -> None:
    relation = "authority" if role is Role.AUTHORITY else "audit_log"
    with session(rows.url, "DEFAULT") as connection:
        connection.execute(f"REVOKE SELECT ON federation_{relation} FROM {role}")
    kind = f"table federation_{relation}"
    with rows.database.transaction() as tx:
        assert differences_if_made(tx) == (f"{role} lacks SELECT on {kind}",)
    upgrade(rows.database)
    with rows.database.transaction() as tx:
        assert differences_if_made(tx) == ()


def test_a_table_and_a_function_that_a_migration_makes_are_open_to_nobody(rows: Rows) -> None:
    with engine_transaction(rows.database) as connection:
        connection.execute(BECOME_OWNER)
        connection.exec_driver_sql("CREATE TABLE federation_new (id integer)")
        connection.exec_driver_sql(
            "CREATE FUNCTION federation_new() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
        )
    for role in (*Role, NOBODY):
        with session(rows.url, role) as session_:
            assert not permits(session_, "SELECT id FROM public.federation_new")
            assert not permits(session_, "SELECT public.federation_new()")
    upgrade(rows.database)
    with rows.database.transaction() as tx:
        assert role_differences(tx) == ()


def test_the_owner_has_no_power_beyond_its_tables(rows: Rows) -> None:
    (owner,) = rows.rows(
        "SELECT r.rolname, r.rolsuper FROM pg_class JOIN pg_roles AS r ON r.oid = relowner"
        " WHERE pg_class.oid = 'federation_audit_log'::regclass"
    )

    assert owner == {"rolname": OWNER, "rolsuper": False}


def test_the_catalog_names_who_can_replace_the_audit_log_and_who_can_append(rows: Rows) -> None:
    with rows.database.transaction() as tx:
        tx.run(f"ALTER ROLE {Role.GATEWAY} LOGIN")
        tx.run(f"ALTER ROLE {Role.READER} LOGIN")
        writers = audit_writers(tx)
        assert excess_of_session(tx) == ("mosaic", "a superuser of the server")
        tx.run(f"ALTER ROLE {Role.GATEWAY} NOLOGIN")
        tx.run(f"ALTER ROLE {Role.READER} NOLOGIN")

    assert "mosaic" in writers.replacing
    assert Role.GATEWAY in writers.appending
    assert Role.READER not in (*writers.replacing, *writers.appending)


@pytest.mark.parametrize(
    ("login", "excess"),
    [(Role.OPERATOR, ""), (COMMAND_LINE, ""), (OWNER, "the owner of the tables")],
)
def test_a_login_of_one_role_has_no_excess_and_the_owner_does(
    rows: Rows, login: str, excess: str
) -> None:
    with rows.database.transaction() as tx:
        tx.run(f"SET LOCAL SESSION AUTHORIZATION {login}")

        assert excess_of_session(tx) == (login, excess)
