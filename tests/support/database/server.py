"""A PostgreSQL server that a test may do anything to: over TCP, stopped at will."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg

from reconciler.embedded import processes
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import initdb_memory_options, server_binaries
from tests.support.database.folder import database_folder
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from reconciler.embedded.processes import SystemAccount

OWNER: Final = "owner"
PASSWORD: Final = "first-s3cret"
DEBIAN: Final = Path("/usr/lib/postgresql/15/bin")  # the oldest release that is supported
ACCESS: Final = """
local all all trust
host all barred all reject
host all all 127.0.0.1/32 scram-sha-256
"""


@dataclass
class DatabaseServer:
    """One server; `settings` are options of its command line, in force from the next start on."""

    folder: Path
    binaries: Path
    account: SystemAccount | None
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "gateway", user: str = OWNER, options: str = "") -> str:
        """The URL over TCP, with the first password."""
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/{database}{options}"

    def run(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements as a superuser, each in a transaction of its own; return the last's."""
        rows: list[Any] = []
        address = f"host={self.folder} port={self.port} user=super dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                done = connection.execute(statement.encode())
                rows = done.fetchall() if done.description else []
        return rows

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "dynamic_shared_memory_type": "mmap",  # in its folder, if it is killed too
            "log_error_verbosity": "terse",
            **self.settings,
        }
        options = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        self.process = processes.spawn(
            [self.binaries / "postgres", "-D", self.data, *options],
            log=self.folder / "log",
            account=self.account,
            cwd=self.folder,
        )
        wait_until(self._answers, "the server takes connections")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def make(self) -> None:
        """Make the data, the roles and the database."""
        self._as_server(
            self.binaries / "initdb",
            *("--pgdata", self.data, "--username", "super", "--auth", "trust", "-N"),
            *("--encoding", "UTF8", "--locale", "C"),
            *initdb_memory_options(self.binaries),
        )
        (self.data / "pg_hba.conf").write_text(ACCESS)
        self.start()
        self.run(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")
        self.run("CREATE ROLE barred LOGIN PASSWORD 'x'")
        self.run(f"CREATE DATABASE gateway OWNER {OWNER}")

    def _as_server(self, *words: str | Path) -> None:
        child = processes.spawn(
            words, log=self.folder / "log", account=self.account, cwd=self.folder
        )
        assert child.wait(PATIENCE_S) == 0, (self.folder / "log").read_text()


@contextmanager
def database_server(binaries: Path | None = None) -> Iterator[DatabaseServer]:
    """Run a new server with a role `owner` and an empty database `gateway` of its.

    It is the wheel's, unless another one's programs are named.
    """
    account = server_account()
    with tempfile.TemporaryDirectory(prefix="mosaic-pg-", dir=database_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
        server = DatabaseServer(folder, binaries or server_binaries(account), account, free_port())
        try:
            server.make()
            yield server
        finally:
            server.stop()
