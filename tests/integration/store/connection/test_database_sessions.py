"""Settings of a role or a database, encodings and passwords that change: nothing relies on luck."""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from reconciler.errors import Retry
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.connection.connector import Connector
from reconciler.store.connection.statements import statement_failure
from reconciler.store.db import Database
from tests.support.commands.in_process import shell
from tests.support.commands.process import Command, write
from tests.support.database.server import (
    DEBIAN,
    OWNER,
    PASSWORD,
    DatabaseServer,
    database_server,
)
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.store.db import Tx

HOSTILE: Final = {
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "'sql_standard'",
    "timezone": "'Asia/Kathmandu'",
    "standard_conforming_strings": "off",
    "search_path": "'elsewhere'",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "client_encoding": "'LATIN1'",
    "bytea_output": "'escape'",
    "extra_float_digits": "'-15'",
    "row_security": "off",
    "backslash_quote": "off",
    "statement_timeout": "'300ms'",
    "lock_timeout": "'1ms'",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "default_tablespace": "'nowhere'",
    "synchronous_commit": "off",
    "quote_all_identifiers": "on",
    "client_min_messages": "'debug1'",
    "xmloption": "'document'",
    "jit_above_cost": "0",
    "idle_in_transaction_session_timeout": "'300ms'",
    "idle_session_timeout": "'300ms'",
    "check_function_bodies": "off",
    "escape_string_warning": "off",
    "enable_seqscan": "off",
}
LATER: Final = {  # than the oldest release that is supported
    "transaction_timeout": "'300ms'",
    "restrict_nonsystem_relation_kind": "'view'",
}


@pytest.fixture(scope="module", params=["wheel", "Debian"])
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    if request.param == "Debian" and not DEBIAN.is_dir():
        pytest.skip("apt-get install postgresql-15")
    with database_server(None if request.param == "wheel" else DEBIAN) as made:
        yield made


@pytest.mark.parametrize("whose", [f"ROLE {OWNER}", "DATABASE hostile"])
def test_settings_of_a_role_or_a_database_change_nothing(
    server: DatabaseServer, tmp_path: Path, whose: str
) -> None:
    server.run("DROP DATABASE IF EXISTS hostile", f"CREATE DATABASE hostile OWNER {OWNER}")
    known = {name for (name,) in server.run("SELECT name FROM pg_settings")}
    hostile = HOSTILE | {name: value for name, value in LATER.items() if name in known}
    server.run(*(f"ALTER {whose} SET {name} = {value}" for name, value in hostile.items()))
    mosaic = shell(tmp_path, server.url("hostile"))
    write(tmp_path / "manifests", beta=peer_manifest(), tasks=grant_manifest("tasks"))
    try:
        mosaic.ok("db", "upgrade")
        mosaic.ok("apply", "--yes", "--invite")
        mosaic.enroll("tasks")
        for verb in (("audit", "verify"), ("at", "2036-01-01"), ("drift",), ("db", "check")):
            mosaic.ok(*verb)
        assert mosaic.grant("tasks")["status"] == "active"
        with Database(server.url("hostile"), "tests").transaction() as tx:
            tx.run("SELECT pg_sleep(0.5)")
    finally:
        server.run(f"ALTER {whose} RESET ALL")


def test_a_session_without_triggers_is_refused_by_name(
    server: DatabaseServer, tmp_path: Path
) -> None:
    mosaic = Command(tmp_path, {"MOSAIC_DATABASE_URL": server.url()})
    server.run(f"ALTER ROLE {OWNER} SET session_replication_role = replica")
    try:
        done = mosaic("db", "upgrade")
        assert done.code == 78
        assert "session_replication_role set to 'replica'" in done.err
        assert f"ALTER ROLE {OWNER} RESET session_replication_role" in done.err
    finally:
        server.run(f"ALTER ROLE {OWNER} RESET ALL")
    mosaic.ok("db", "upgrade")


def test_a_database_that_only_reads_is_refused_by_name(
    server: DatabaseServer, tmp_path: Path
) -> None:
    mosaic = Command(tmp_path, {"MOSAIC_DATABASE_URL": server.url()})
    mosaic.ok("db", "upgrade")
    server.run("ALTER DATABASE gateway SET default_transaction_read_only = on")
    try:
        done = mosaic("db", "check")
        assert done.code == 78
        assert "read-only: default_transaction_read_only is on" in done.err
        assert f"ALTER ROLE {OWNER} RESET default_transaction_read_only" in done.err
        mosaic.ok("grant", "list")
    finally:
        server.run("ALTER DATABASE gateway RESET ALL")
    done = mosaic("db", "check", PGOPTIONS="-c default_transaction_read_only=on")
    assert done.err.endswith("default_transaction_read_only is on\n  take it out of PGOPTIONS\n")


@pytest.mark.parametrize("state", ["25P03", "25P04", "57P05"])
def test_a_limit_of_time_that_ends_a_session_is_an_outage(state: str) -> None:
    ended = psycopg.errors.lookup(state)("terminating connection due to a limit")
    failure = statement_failure(ended, Connector("", "tests", lasting=False))
    assert isinstance(failure, Retry)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_another_encoding_is_refused_by_every_command(
    server: DatabaseServer, tmp_path: Path, encoding: str
) -> None:
    name = encoding.lower()
    server.run(f"CREATE DATABASE {name} OWNER {OWNER} ENCODING '{encoding}' TEMPLATE template0")
    mosaic = Command(tmp_path, {"MOSAIC_DATABASE_URL": server.url(name)})
    for verb in (("db", "upgrade"), ("db", "check"), ("grant", "list"), ("doctor",)):
        done = mosaic(*verb)
        assert done.code == (1 if verb == ("doctor",) else 78)
        output = done.out + done.err
        assert f"has the encoding '{encoding}', expected 'UTF8'" in output
        assert "createdb -E UTF8 -T template0" in output


def _pid(tx: Tx) -> int:
    return int(tx.one("SELECT pg_backend_pid() AS pid")["pid"])


def test_a_pool_that_the_server_cut_returns_with_the_new_password(
    server: DatabaseServer,
) -> None:
    current = [server.url()]

    async def story() -> None:
        database = AsyncDatabase(lambda: current[0], "tests", pool_size=2)
        try:
            first = await database.run(_pid)
            current[0] = current[0].replace(PASSWORD, "second-s3cret")
            server.run(
                f"ALTER ROLE {OWNER} PASSWORD 'second-s3cret'",
                f"SELECT pg_terminate_backend({first}, 60000)",
            )
            assert await database.run(_pid) != first
        finally:
            await database.close()

    try:
        asyncio.run(story())
    finally:
        server.run(f"ALTER ROLE {OWNER} PASSWORD '{PASSWORD}'")


def test_a_wrong_password_is_an_outage_to_a_process_that_goes_on(server: DatabaseServer) -> None:
    current = [server.url()]
    database = Database(lambda: current[0], "tests", lasting=True)
    database.require_writable()
    current[0] = server.url().replace(PASSWORD, "wrong-s3cret")
    with pytest.raises(Retry, match="28P01") as raised:
        database.require_writable()
    assert raised.value.code == "database_unavailable"
    current[0] = server.url()
    database.require_writable()


def test_a_command_prints_the_password_and_its_failure_is_told_without_its_output(
    server: DatabaseServer, tmp_path: Path
) -> None:
    url = server.url().replace(f":{PASSWORD}@", "@")
    mosaic = Command(tmp_path, {"MOSAIC_DATABASE_URL": url})
    good = f"printf '%s\\n' {PASSWORD}"
    mosaic.ok("db", "upgrade", MOSAIC_DATABASE_PASSWORD_COMMAND=good)
    failing = shlex.join(["sh", "-c", f"echo {PASSWORD}; echo no token today >&2; exit 3"])
    done = mosaic("db", "check", MOSAIC_DATABASE_PASSWORD_COMMAND=failing)
    assert done.code == 1
    assert "it failed with exit code 3: no token today" in done.err
    assert "s3cret" not in done.err
    missing = mosaic("db", "check", MOSAIC_DATABASE_PASSWORD_COMMAND="/nowhere/token")
    assert missing.code == 78
    assert "'/nowhere/token' cannot be started" in missing.err
    octal = shlex.join(["printf", r"s\3443cret"])
    latin1 = mosaic("db", "check", MOSAIC_DATABASE_PASSWORD_COMMAND=octal)
    assert latin1.code == 78
    assert "it printed text that is not UTF-8" in latin1.err
