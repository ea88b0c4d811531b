"""Why the database cannot be reached: its own reason, once, and whether a retry can help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.commands.process import Command
from tests.support.database.server import OWNER, PASSWORD, DatabaseServer, database_server
from tests.support.database.tls_front import self_signed, tls_front
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RETRY: Final = ("database_unavailable", 1)
EDIT: Final = ("config_invalid", 78)


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with database_server() as made:
        yield made


@pytest.fixture
def mosaic(tmp_path: Path) -> Command:
    return Command(tmp_path, {"HOME": str(tmp_path)})


def refused(mosaic: Command, url: str, outcome: tuple[str, int], *words: str) -> Any:
    """Check the error of a command, as JSON, as text, and as the debug log tells it."""
    done = mosaic("grant", "list", "--output", "json", MOSAIC_DATABASE_URL=url)
    error = done.error
    assert (error["code"], done.code) == outcome, error
    for word in words:
        assert error["message"].count(word) == 1, error
    assert error["hint"]
    debug = mosaic("grant", "list", "--log-level", "debug", MOSAIC_DATABASE_URL=url)
    assert "Traceback" in debug.err
    assert f"error: {error['message']}\n" in debug.err
    for text in (done.err, debug.err):
        assert "s3cret" not in text
        assert "internal error" not in text
    return error


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("PGTZ", "Nowhere/Land", 'invalid value for parameter "TimeZone"'),
        ("PGOPTIONS", "-c nosuch=1", 'unrecognized configuration parameter "nosuch"'),
        ("PGREQUIREAUTH", "none", "authentication method requirement"),
        ("PGSSLMODE", "require", "server does not support SSL"),
    ],
)
def test_a_variable_of_libpq_is_named_beside_the_url(
    server: DatabaseServer, mosaic: Command, variable: str, value: str, word: str
) -> None:
    both = Command(mosaic.cwd, mosaic.variables | {variable: value, "PGAPPNAME": "x"})
    error = refused(both, server.url(), EDIT, word)
    assert error["hint"].endswith(f"; the environment sets {variable} too")
    mosaic.ok("db", "upgrade", MOSAIC_DATABASE_URL=server.url())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("{user}:wrong-s3cret@{place}/gateway", ("password authentication failed", "28P01")),
        ("nobody:wrong-s3cret@{place}/gateway", ("password authentication failed", "28P01")),
        ("barred:wrong-s3cret@{place}/gateway", ("pg_hba.conf rejects connection", "28000")),
        ("{user}:{password}@{place}/nowhere", ('database "nowhere" does not exist', "3D000")),
        ("{user}@{place}/gateway", ("no password supplied",)),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words_and_no_retry_is_asked_for(
    server: DatabaseServer, mosaic: Command, url: str, words: tuple[str, ...]
) -> None:
    place = f"127.0.0.1:{server.port}"
    text = url.format(user=OWNER, password=PASSWORD, place=place)
    refused(mosaic, f"postgresql://{text}", EDIT, f"on 127.0.0.1 port {server.port}", *words)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("pgbouncer=true", "libpq has no option 'pgbouncer'"),
        ("sslmode=verify_full", 'invalid sslmode value: "verify_full"'),
        ("sslmode=verify-full&sslrootcert=/nowhere", "server does not support SSL"),
        ("target_session_attrs=first", 'invalid target_session_attrs value: "first"'),
        ("connect_timeout=soon", "connect_timeout"),
        ("service=nothing", 'definition of service "nothing" not found'),
        ("require_auth=none", "authentication method requirement"),
    ],
)
def test_an_option_that_cannot_be_met_is_named(
    server: DatabaseServer, mosaic: Command, query: str, word: str
) -> None:
    refused(mosaic, server.url(options=f"?{query}"), EDIT, word)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://o:s3cret@127.0.0.1:{closed}/gateway", "Connection refused"),
        ("postgresql://o:s3cret@db.invalid/gateway", "failed to resolve host 'db.invalid'"),
        ("postgresql://o:s3cret@/gateway?host=/nowhere", "No such file or directory"),
    ],
)
def test_what_time_may_mend_is_asked_to_be_tried_again(
    mosaic: Command, url: str, word: str
) -> None:
    refused(mosaic, url.format(closed=free_port()), RETRY, word, "the database gateway")


def test_a_server_with_no_room_is_told_by_its_message(
    server: DatabaseServer, mosaic: Command
) -> None:
    server.run(f"ALTER ROLE {OWNER} CONNECTION LIMIT 0")
    try:
        refused(mosaic, server.url(), RETRY, "too many connections for role", "53300")
    finally:
        server.run(f"ALTER ROLE {OWNER} CONNECTION LIMIT -1")


def test_a_database_that_takes_no_connections_is_told(
    server: DatabaseServer, mosaic: Command
) -> None:
    server.run("CREATE DATABASE closed ALLOW_CONNECTIONS false")
    refused(mosaic, server.url("closed"), EDIT, "is not currently accepting connections", "55000")


def test_every_host_of_a_list_is_named_with_its_own_reason(
    server: DatabaseServer, mosaic: Command
) -> None:
    closed = free_port()
    hosts = f"127.0.0.1:{closed},127.0.0.1:{server.port}"
    url = f"postgresql://{OWNER}:wrong-s3cret@{hosts}/gateway"
    words = (f"127.0.0.1 port {closed}: Connection refused", "password authentication failed")
    refused(mosaic, url, EDIT, *words)


def test_tls_is_judged_as_the_url_asks(
    server: DatabaseServer, mosaic: Command, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path, "localhost")
    other, _ = self_signed(tmp_path, "other")
    with tls_front(server.port, certificate, key) as port:
        login = f"postgresql://{OWNER}:{PASSWORD}"
        for mode in ("require", "verify-full"):
            good = f"{login}@localhost:{port}/gateway?sslmode={mode}&sslrootcert={certificate}"
            mosaic.ok("db", "upgrade", MOSAIC_DATABASE_URL=good)
        url = f"{login}@127.0.0.1:{port}/gateway?sslmode=verify-full"
        wrong_name = 'does not match host name "127.0.0.1"'
        refused(mosaic, f"{url}&sslrootcert={certificate}", EDIT, wrong_name)
        refused(mosaic, f"{url}&sslrootcert={other}", EDIT, "certificate verify failed")
        refused(mosaic, f"{url}&sslrootcert=/nowhere", EDIT, 'certificate file "/nowhere"')
        # the roots of this machine, of which this certificate's is none
        refused(mosaic, f"{url}&sslrootcert=system", EDIT, "certificate verify failed")
