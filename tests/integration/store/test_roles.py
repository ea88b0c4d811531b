"""What each role may do: a checked-in matrix, compared with what the database lets it do."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, IntegrityError, NoDataFound

from reconciler.core.audit.chain import Head, chain
from reconciler.core.audit.events import ReconcilerPaused
from reconciler.core.privileges import OWNER, Role
from reconciler.store.audit import log as audit
from reconciler.store.db import Database, as_json
from reconciler.store.migrate import BECOME_OWNER, upgrade
from reconciler.store.roles.catalog import role_differences, roles_are_made
from reconciler.store.roles.making import make_roles, role_statements
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

MATRIX: Final = Path(__file__).with_name("role_matrix.txt")
NOBODY: Final = "somebody_else"  # a login that is a member of nothing: what PUBLIC may do
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
    """Give a database with the roles, a grant and an invitation in it."""
    rows = Rows(database_url)
    with rows.database.transaction() as tx:
        make_roles(tx)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    rows.invite("beta-tasks")
    return rows


def enroll(rows: Rows) -> None:
    """Issue a certificate of the grant, as far as its row goes."""
    rows.run(
        "INSERT INTO federation_keys (spki_sha256, grant_id)"
        " SELECT repeat('ab', 32), id FROM federation_grants"
    )
    rows.run(
        "INSERT INTO federation_certificates (id, grant_id, token_id, serial, spki_sha256, csr_pem,"
        " lease_until) SELECT gen_random_uuid(), grant_id, id, 'abc', repeat('ab', 32), 'csr',"
        " clock_timestamp() FROM federation_enrollment_tokens"
    )


def next_record(connection: psycopg.Connection) -> str:
    """Return a record that continues the log, as JSON."""
    row = connection.execute(
        "SELECT seq, hash, clock_timestamp() FROM federation_audit_head FOR UPDATE"
    ).fetchone()
    assert row is not None
    (record,) = chain(
        Head(row[0], row[1]), row[2], "user:tests", [ReconcilerPaused("x")], login=Role.GATEWAY
    )
    hexadecimal = {"prev": record.prev.hex(), "hash": record.hash.hex()}
    return as_json(asdict(record) | hexadecimal)


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
    except (IntegrityError, NoDataFound):
        return True
    return True


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


REFUSED: Final = (
    (Role.OPERATOR, "SELECT client_key_pem FROM federation_peers"),
    (Role.OPERATOR, "SELECT federation_peers FROM federation_peers"),
    (Role.READER, "SELECT mac FROM federation_enrollment_tokens"),
    (Role.OPERATOR, "UPDATE federation_certificates SET status = 'issued'"),
    (Role.OPERATOR, "UPDATE federation_certificates SET status = 'abandoned'"),
    (Role.OPERATOR, "UPDATE federation_enrollment_tokens SET status = 'claimed'"),
    (Role.OPERATOR, "UPDATE federation_peers SET status = 'active'"),
    (Role.OPERATOR, "UPDATE federation_grants SET subject_user_id = 'eve'"),
    (Role.GATEWAY, "UPDATE federation_grants SET subject_user_id = 'eve'"),
    (Role.GATEWAY, "UPDATE federation_certificates SET grant_id = gen_random_uuid()"),
    (
        Role.GATEWAY,
        "INSERT INTO federation_moves VALUES ('federation_grants', 'revoked', 'active')",
    ),
    (Role.GATEWAY, "UPDATE federation_audit_head SET seq = 0"),
    (Role.GATEWAY, "INSERT INTO federation_audit_log SELECT * FROM federation_audit_log"),
    (Role.AUTHORITY, "SELECT holds FROM federation_authority, federation_grants"),
)


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_what_a_role_would_do_to_others_rights_is_refused(
    rows: Rows, role: Role, statement: str
) -> None:
    enroll(rows)
    with session(rows.url, role) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement)


def test_an_operator_revokes_a_certificate_which_is_due_at_the_ca_at_once(rows: Rows) -> None:
    enroll(rows)
    with session(rows.url, Role.OPERATOR) as connection:
        connection.execute("UPDATE federation_certificates SET status = 'revoking'")

    assert rows.rows(
        "SELECT status::text, lease_until, attempts, next_attempt_at <= clock_timestamp() AS due"
        " FROM federation_certificates"
    ) == [{"status": "revoking", "lease_until": None, "attempts": 0, "due": True}]


def test_a_subject_that_was_changed_by_hand_can_be_restored_by_an_operator(rows: Rows) -> None:
    (before,) = rows.rows("SELECT subject_user_id AS subject FROM federation_grants")
    with psycopg.connect(rows.url) as connection:  # a session of a person, which a trigger notes
        connection.execute("UPDATE federation_grants SET subject_user_id = 'eve'")
    restore = "UPDATE federation_grants SET subject_user_id = %s"
    with session(rows.url, Role.OPERATOR) as connection:
        with pytest.raises(InsufficientPrivilege):
            connection.execute(restore, ["mallory"])
        connection.execute(restore, [before["subject"]])

    assert rows.rows("SELECT subject_user_id AS subject FROM federation_grants") == [before]


FORGERIES: Final = {
    "another login": "jsonb_set(record, '{body}', to_jsonb(replace(record ->> 'body',"
    " session_user, 'mosaic_reader')))",
    "another actor than its body": 'record || \'{"actor": "user:eve"}\'',
    "a gap": "record || jsonb_build_object('seq', (record ->> 'seq')::bigint + 1)",
    "another past": "record || jsonb_build_object('prev', repeat('00', 32))",
    "another time": "record || jsonb_build_object('at', now() - interval '1 s')",
    "no hash": "record - 'hash'",
}


@pytest.mark.parametrize("forgery", ["record", *FORGERIES.values()], ids=["it", *FORGERIES])
def test_the_audit_log_takes_a_record_that_continues_it_and_no_other(
    rows: Rows, forgery: str
) -> None:
    with session(rows.url, Role.GATEWAY) as connection, connection.transaction():
        record = next_record(connection)
        append = f"SELECT federation_append_audit(jsonb_build_array({forgery}))"
        statement = f"{append} FROM (SELECT %s::jsonb AS record) AS r"
        if forgery == "record":
            connection.execute(statement, [record])
        else:
            refused = pytest.raises(InsufficientPrivilege, match="not continue the audit log")
            with refused, connection.transaction():
                connection.execute(statement, [record])

    with rows.database.transaction() as tx:
        assert audit.verify(tx).chain_break is None


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


def test_a_table_and_a_function_that_a_migration_makes_are_open_to_nobody(rows: Rows) -> None:
    with rows.database.connection() as connection:
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
