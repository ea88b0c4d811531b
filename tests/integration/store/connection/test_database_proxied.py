"""Behind pgbouncer in transaction mode: no session is ours from one transaction to the next."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.embedded import processes
from reconciler.store.async_database import AsyncDatabase
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.database.server import OWNER, PASSWORD, DatabaseServer, database_server
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.store.db import Tx

PROGRAM: Final = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
CONFIG: Final = """
[databases]
gateway = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 2
"""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="apt-get install pgbouncer")


@pytest.fixture(scope="module")
def proxied() -> Iterator[str]:
    """Give the URL of a database through pgbouncer; its role has settings of its own."""
    with database_server() as server, pgbouncer(server) as port:
        for name, value in (("datestyle", "German"), ("timezone", "Asia/Kathmandu")):
            server.run(f"ALTER ROLE {OWNER} SET {name} = '{value}'")
        yield server.url().replace(str(server.port), str(port))


@contextmanager
def pgbouncer(server: DatabaseServer) -> Iterator[int]:
    assert PROGRAM is not None
    port, folder = free_port(), server.folder
    (folder / "pgbouncer.ini").write_text(
        CONFIG.format(server=server.port, port=port, folder=folder)
    )
    (folder / "users").write_text(f'"{OWNER}" "{PASSWORD}"\n')
    child = processes.spawn(
        [PROGRAM, folder / "pgbouncer.ini"],
        log=folder / "pgbouncer.log",
        account=server.account,
        cwd=folder,
    )

    def listens() -> bool:
        assert child.poll() is None, (folder / "pgbouncer.log").read_text()
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "pgbouncer listens")
        yield port
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(PATIENCE_S)


@pytest.fixture
def mosaic(proxied: str, tmp_path: Path) -> Quick:
    made = shell(tmp_path, proxied)
    made.ok("db", "upgrade")
    return made


def test_manifests_are_applied_and_read_back(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", beta=peer_manifest(), tasks=grant_manifest("tasks"))
    mosaic.ok("apply", "--yes", "--invite")
    mosaic.enroll("tasks")
    for verb in (("audit", "verify"), ("drift",), ("db", "check"), ("at", "2036-01-01")):
        mosaic.ok(*verb)
    assert mosaic.grant("tasks")["status"] == "active"
    assert "nothing to do" in mosaic.ok("apply", "--yes").out


def test_a_pool_that_is_larger_than_the_proxys_serves_everyone(mosaic: Quick) -> None:
    def facts(tx: Tx) -> tuple[str, str, str]:
        (row,) = tx.rows(
            "SELECT current_setting('datestyle') AS style, current_setting('timezone') AS zone,"
            " current_setting('mosaic.writer') AS writer"
        )
        return row["style"], row["zone"], row["writer"]

    async def story() -> None:
        database = AsyncDatabase(mosaic.variables["MOSAIC_DATABASE_URL"], "tests")
        try:
            for _ in range(3):
                results = await asyncio.gather(*(database.run(facts) for _ in range(16)))
                assert set(results) == {("ISO, MDY", "UTC", "on")}
        finally:
            await database.close()

    asyncio.run(story())


def test_a_statement_is_prepared_only_in_a_session_that_is_ours(
    mosaic: Quick, database_url: str
) -> None:
    def prepared(tx: Tx) -> int:
        (row,) = tx.rows("SELECT count(*) AS n FROM pg_prepared_statements")
        return int(row["n"])

    async def counted(url: str) -> int:
        database = AsyncDatabase(url, "tests", pool_size=1)
        try:
            return [await database.run(prepared) for _ in range(4)][-1]
        finally:
            await database.close()

    assert asyncio.run(counted(mosaic.variables["MOSAIC_DATABASE_URL"])) == 0
    assert asyncio.run(counted(database_url)) > 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("/gateway", "/gateway?options=-cwork_mem%3D8MB"), "unsupported startup parameter"),
        (("/gateway", "/nothere"), "no such database"),
        ((PASSWORD, "wrong"), "password authentication failed"),
    ],
)
def test_what_the_proxy_refuses_is_told_in_its_words(
    mosaic: Quick, proxied: str, change: tuple[str, str], expected: str
) -> None:
    done = mosaic("grant", "list", MOSAIC_DATABASE_URL=proxied.replace(*change))
    assert done.code == 78, done.err
    assert expected in done.err
    assert done.err.count("error: ") == 1
