"""The database's URL means what libpq says: hosts, sockets, password and service files."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.commands.process import Command
from tests.support.database.server import OWNER, PASSWORD, DatabaseServer, database_server
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with database_server() as made:
        yield made


def test_every_form_that_libpq_takes_reaches_the_database(
    server: DatabaseServer, tmp_path: Path
) -> None:
    port, closed = str(server.port), free_port()
    login = f"{OWNER}:{PASSWORD}"
    passwords, services = tmp_path / "passwords", tmp_path / "services"
    passwords.write_text(f"127.0.0.1:{port}:gateway:{OWNER}:{PASSWORD}\n")
    passwords.chmod(0o600)
    services.write_text(f"[ours]\nhost=127.0.0.1\nport={port}\ndbname=gateway\nuser={OWNER}\n")
    parts = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": OWNER, "PGDATABASE": "gateway"}
    from_file, service = {"PGPASSFILE": str(passwords)}, {"PGSERVICEFILE": str(services)}
    socket = quote(str(server.folder), safe="")
    hosts = f"127.0.0.1:{closed},127.0.0.1:{port}"
    lists = f"host=127.0.0.1,127.0.0.1&port={closed},{port}"
    forms: list[tuple[str, dict[str, str]]] = [
        (f"postgresql://{login}@{hosts}/gateway?target_session_attrs=read-write", {}),
        (f"postgres://{login}@/gateway?{lists}", {}),
        (f"host=127.0.0.1 port={port} dbname=gateway user={OWNER} password={PASSWORD}", {}),
        (
            f"postgresql://{OWNER}@/gateway?host={socket}&port={port}",
            {},
        ),
        (f"postgresql://{quote(OWNER)}:%66irst-s3cret@127.0.0.1:{port}/%67ateway", {}),
        (f"postgresql://{OWNER}@127.0.0.1:{port}/gateway?passfile={passwords}", {}),
        (f"postgresql://{OWNER}@127.0.0.1:{port}/gateway", from_file),
        ("postgresql://?service=ours", from_file | service),
        ("postgresql://", from_file | service | {"PGSERVICE": "ours"}),
        ("postgresql://", parts | {"PGPASSWORD": PASSWORD}),
    ]
    mosaic = Command(tmp_path)
    for url, variables in forms:
        done = mosaic("db", "upgrade", MOSAIC_DATABASE_URL=url, **variables)
        assert done.code == 0, (url, done.err)
        assert PASSWORD not in done.err


def test_a_standby_is_said_by_name(tmp_path: Path) -> None:
    with database_server() as standby:
        mosaic = Command(tmp_path, {"MOSAIC_DATABASE_URL": standby.url()})
        mosaic.ok("db", "upgrade")
        standby.stop()
        signal = standby.data / "standby.signal"
        signal.touch()
        standby.start()
        done = mosaic("db", "check")
        assert done.code == 78
        assert "is read-only: the server is a standby" in done.err
        mosaic.ok("grant", "list")
        wanted = standby.url(options="?target_session_attrs=read-write")
        refused = mosaic("grant", "list", MOSAIC_DATABASE_URL=wanted)
        assert refused.code == 1
        assert "read-only" in refused.err
