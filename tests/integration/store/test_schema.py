"""The database holds its invariants itself: whatever program writes, these cannot become untrue."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from reconciler.errors import MosaicError
from reconciler.store.db import Database
from reconciler.store.migrate import alembic_config, engine_transaction, upgrade
from reconciler.store.roles.catalog import role_differences
from reconciler.store.roles.making import make_roles
from reconciler.store.schema import (
    EXPECTED_CONSTRAINTS,
    EXPECTED_FUNCTIONS,
    EXPECTED_UNIQUE_INDEXES,
    HEAD,
    MIGRATIONS,
    differences,
    require_current,
)
from tests.support.database.server import DEBIAN, database_server
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def rows(database_url: str) -> Rows:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    rows.invite("beta-tasks")
    return rows


def test_the_known_migrations_are_the_files_in_order() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())

    assert tuple(each.revision for each in scripts.walk_revisions())[::-1] == MIGRATIONS
    assert scripts.get_current_head() == HEAD


def test_upgrades_at_once_run_each_migration_once(empty_database_url: str) -> None:
    done: list[str | None] = []

    def run() -> None:
        done.append(upgrade(Database(empty_database_url, "tests")).current)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert done == [HEAD] * 4


def test_a_database_of_the_first_migration_keeps_its_rows(empty_database_url: str) -> None:
    database = Database(empty_database_url, "tests")
    with engine_transaction(database) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    rows = Rows(empty_database_url)
    rows.run(
        "INSERT INTO federation_peers (id, name, direction, display_name, managed, spec_digest)"
        " VALUES (gen_random_uuid(), 'beta', 'inbound', 'beta', true, 'sha256:old')"
    )
    rows.run(
        "INSERT INTO federation_grants (id, name, peer_id, subject_user_id, scope, lifetime,"
        " expires_at, managed, spec_digest) SELECT gen_random_uuid(), 'beta-tasks', id, 'maria',"
        ' \'{"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 5}\','
        " interval '1 day', '2036-06-30T00:00:00Z', true, 'sha256:old' FROM federation_peers"
    )

    assert upgrade(database).current == HEAD
    with database.transaction() as tx:
        assert differences(tx) == ()
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    assert rows.one("SELECT count(*) FROM federation_grants WHERE name = 'beta-tasks'") == 2


def test_a_migration_that_waits_for_a_table_keeps_nobody_else_from_it(
    empty_database_url: str,
) -> None:
    """A backup reads the table for minutes, and the requests of meanwhile are answered."""
    database, rows = Database(empty_database_url, "tests"), Rows(empty_database_url)
    upgrade(database, "0010")
    read = "SELECT count(*) FROM federation_certificates"
    with psycopg.connect(empty_database_url) as backup:
        backup.execute(read)
        migration = threading.Thread(target=upgrade, args=(database,))
        migration.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
        wait_until(lambda: rows.one(waits) > 0, "the migration waits for the table")
        with psycopg.connect(empty_database_url) as request:
            request.execute("SET statement_timeout = '5s'")
            request.execute(read)
    migration.join()
    require_current(database)


def test_a_newer_schema_is_used_if_it_says_that_this_version_may(database_url: str) -> None:
    rows = Rows(database_url)
    with rows.database.transaction() as tx:
        make_roles(tx)
        before = role_differences(tx)
    rows.run("ALTER TABLE federation_grants ADD COLUMN of_a_later_version text")  # expanded
    rows.run("UPDATE alembic_version SET version_num = '9999'")
    assert rows.one("SELECT oldest_migration FROM federation_control") in MIGRATIONS

    rows.run("CREATE TABLE federation_of_a_later_version (id int)")
    rows.run("GRANT SELECT ON federation_of_a_later_version TO mosaic_reader")

    require_current(rows.database)
    assert upgrade(rows.database).current == "9999", "there is nothing to do"
    with rows.database.transaction() as tx:
        make_roles(tx)
        assert role_differences(tx) == before
    may = "SELECT has_table_privilege('mosaic_reader', 'federation_of_a_later_version', 'SELECT')"
    assert rows.one(may) is True, "a later version's rights are not taken away"
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    assert rows.grant_status("beta-tasks") == "pending"

    rows.run("UPDATE federation_control SET oldest_migration = '9999'")  # contracted
    with pytest.raises(MosaicError, match="does not know") as refused:
        require_current(rows.database)
    assert refused.value.code == "schema_differs"


def test_an_empty_database_is_told_apart_from_a_newer_one(
    empty_database_url: str, database_url: str
) -> None:
    with pytest.raises(MosaicError, match=f"expected {HEAD}") as missing:
        require_current(Database(empty_database_url, "tests"))
    assert missing.value.code == "schema_missing"
    Rows(database_url).run("UPDATE alembic_version SET version_num = '9999'")
    Rows(database_url).run("UPDATE federation_control SET oldest_migration = '9999'")
    for refused in (require_current, upgrade):
        check: Callable[[Database], object] = refused
        with pytest.raises(MosaicError, match="does not know") as newer:
            check(Database(database_url, "tests"))
        assert newer.value.code == "schema_differs"


def test_a_disabled_trigger_and_a_loose_constraint_are_told(rows: Rows) -> None:
    with rows.database.transaction() as tx:
        assert differences(tx) == ()
    rows.run("ALTER TABLE federation_grants DISABLE TRIGGER federation_grants_moves")
    rows.run("DROP TRIGGER federation_peers_kept ON federation_peers")

    with rows.database.transaction() as tx:
        assert differences(tx) == (
            "the trigger federation_peers_kept is missing",
            "the trigger federation_grants_moves is disabled",
        )


def test_a_constraint_and_a_unique_index_that_are_gone_are_told(rows: Rows) -> None:
    rows.run("ALTER TABLE federation_grants DROP CONSTRAINT federation_grants_suspension")
    rows.run("DROP INDEX federation_grants_live_name")

    with rows.database.transaction() as tx:
        assert differences(tx) == (
            "the constraint federation_grants_suspension is missing",
            "the unique index federation_grants_live_name is missing",
        )


def test_a_function_that_was_changed_or_is_gone_is_told(rows: Rows) -> None:
    rows.run(
        "CREATE OR REPLACE FUNCTION federation_check_move() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'"
    )
    rows.run("ALTER FUNCTION federation_sealed_values() SECURITY INVOKER")
    rows.run("DROP FUNCTION federation_record_use(jsonb)")

    with rows.database.transaction() as tx:
        assert differences(tx) == (
            "the function federation_check_move() was changed",
            "the function federation_record_use(jsonb) is missing",
            "the function federation_sealed_values() was changed",
        )


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="apt-get install postgresql-15")
def test_nothing_differs_on_the_oldest_server() -> None:
    with database_server(DEBIAN) as server:
        database = Database(server.url(), "tests")
        upgrade(database)
        with database.transaction() as tx:
            assert differences(tx) == ()


def test_the_rules_that_are_looked_for_are_those_that_the_migrations_make(rows: Rows) -> None:
    made = rows.rows(
        "SELECT conname AS name FROM pg_constraint WHERE contype <> 'n'"
        " AND conrelid::regclass::text LIKE 'federation_%'"
    )
    unique = rows.rows(
        "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indisunique"
        " AND indrelid::regclass::text LIKE 'federation_%'"
    )
    constraints = {row["name"] for row in made}
    assert constraints == EXPECTED_CONSTRAINTS
    assert {row["name"] for row in unique} - constraints == EXPECTED_UNIQUE_INDEXES
    functions = rows.rows(
        "SELECT format('%s(%s)', proname, oidvectortypes(proargtypes)) AS name FROM pg_proc"
        " WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'federation%'"
    )
    assert {row["name"] for row in functions} == EXPECTED_FUNCTIONS.keys()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE federation_grants SET status = 'active'",  # without activated_at
        "UPDATE federation_grants SET status = 'active', activated_at = now(), suspended = true",
        "UPDATE federation_grants SET status = 'suspended', activated_at = now()",
        "UPDATE federation_grants SET subject_user_id = 'a b'",
        "UPDATE federation_grants SET lifetime = '8 days'",
        """UPDATE federation_grants SET scope = '{"resources": [{"type": "credentials"}],
            "maxRowsPerQuery": 1}'""",
        """UPDATE federation_grants SET scope = '{"resources": [], "maxRowsPerQuery": 10001}'""",
        "UPDATE federation_grants SET scope = '{}'",
        """UPDATE federation_grants SET hold = '{"kind": "revoke", "by": "", "at": "",
            "reason": ""}'""",  # revoked by hand, and not revoked
        "UPDATE federation_peers SET status = 'revoked'",  # without revoked_at
        "UPDATE federation_peers SET client_key_pem = 'MSEAL1'",  # an inbound peer holds no key
        "UPDATE federation_peers SET endpoint_url = 'http://x'",
        "UPDATE federation_peers SET direction = 'outbound'",  # without an endpoint
        "UPDATE federation_enrollment_tokens SET status = 'claimed'",  # by nobody
        (
            "UPDATE federation_enrollment_tokens SET status = 'spent', claimed_spki = 'x',"
            " claimed_at = now()"
        ),  # never claimed
        (
            "INSERT INTO federation_enrollment_tokens (id, grant_id, public_id, mac, expires_at,"
            " created_by) SELECT gen_random_uuid(), grant_id, repeat('a', 16), mac, now(), 'x'"
            " FROM federation_enrollment_tokens"
        ),  # a second usable token
        (
            "INSERT INTO federation_certificates (id, grant_id, serial, spki_sha256, csr_pem,"
            " lease_until) SELECT gen_random_uuid(), id, 'ab', repeat('a', 64), '', now()"
            " FROM federation_grants"
        ),  # allowed by neither token nor predecessor
        "DELETE FROM federation_grants",
        "DELETE FROM federation_peers",
        "TRUNCATE federation_certificates CASCADE",
        "DELETE FROM federation_audit_log",
        "UPDATE federation_audit_log SET actor = 'nobody'",
        "TRUNCATE federation_audit_log",
        "DELETE FROM federation_audit_head",
    ],
)
def test_a_row_cannot_be_made_untrue(rows: Rows, statement: str) -> None:
    with pytest.raises(MosaicError):
        rows.run(statement)


def test_a_status_moves_only_as_the_table_of_moves_says(rows: Rows) -> None:
    rows.apply(peer_manifest())  # revokes the grant

    for status in ("pending", "active", "expired"):
        with pytest.raises(MosaicError, match="illegal move"):
            rows.run(
                "UPDATE federation_grants SET revoked_at = NULL, activated_at = now(),"
                f" status = '{status}'"
            )


def test_a_revoked_peers_key_is_gone(rows: Rows) -> None:
    rows.run(
        "INSERT INTO federation_peers (id, name, direction, display_name, endpoint_url,"
        " spec_digest, client_key_pem, csr_pem) VALUES (gen_random_uuid(), 'alpha', 'outbound',"
        " 'Alpha', 'https://x', '', 'MSEAL1 and more', '')"
    )

    rows.run(
        "UPDATE federation_peers SET status = 'revoked', revoked_at = now() WHERE name = 'alpha'"
    )

    assert rows.one("SELECT client_key_pem FROM federation_peers WHERE name = 'alpha'") is None
    with pytest.raises(MosaicError, match="key_erased"):
        rows.run("UPDATE federation_peers SET client_key_pem = 'MSEAL1' WHERE name = 'alpha'")
