"""Real `serve` processes on one PostgreSQL, with one step-ca: for soaks and benchmarks."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.crypto.keyring import FileKeyring
from reconciler.embedded.processes import spawn
from reconciler.store.db import Database
from reconciler.store.migrate import upgrade
from tests.support.commands.process import COMMAND
from tests.support.database.cluster import running_cluster
from tests.support.gateways.enrollee import PEPPER, Rows
from tests.support.gateways.step_ca import authority
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.gateways.step_ca import Authority


@dataclass(frozen=True)
class Endpoint:
    """One `serve` process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return b"ready: " in self.log.read_bytes()

    @property
    def memory_mib(self) -> float:
        """The resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    @property
    def cpu_s(self) -> float:
        """The time that the process has computed, with those that share its endpoint."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(map(_cpu_s, [str(pid), *children]))

    @property
    def log_kib(self) -> float:
        """What it has logged."""
        return self.log.stat().st_size / 1024


def _cpu_s(pid: str) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().split()[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Gateway:
    """A gateway: its rows, its CA and its endpoints."""

    rows: Rows
    ca: Authority
    endpoints: tuple[Endpoint, ...]

    @property
    def roots(self) -> tuple[str, ...]:
        return self.ca.roots


@contextmanager
def gateway(endpoints: int, *others: dict[str, str], **settings: str) -> Iterator[Gateway]:
    """Run a gateway until the block ends; each endpoint must then end with 0.

    `others` are the settings of further endpoints.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mosaic-serve-")))
        folder.chmod(0o755)  # as root, the database server runs as another account
        rows = Rows(stack.enter_context(database(folder)))
        own = (*({} for _ in range(endpoints)), *others)
        ports = tuple(free_port() for _ in own)
        url = f"https://127.0.0.1:{ports[0]}"
        ca = stack.enter_context(authority(folder / "ca", url))
        environ = _settings(folder, rows.url, url, ca) | settings
        running = tuple(
            stack.enter_context(_serve(folder / f"serve-{port}.log", port, environ | each))
            for port, each in zip(ports, own, strict=True)
        )
        yield Gateway(rows, ca, running)


def _settings(folder: Path, database: str, url: str, ca: Authority) -> dict[str, str]:
    pepper = folder / "pepper"
    pepper.write_text(PEPPER.hex())
    pepper.chmod(0o400)
    FileKeyring.create(folder / "keys")
    return {
        "MOSAIC_DATABASE_URL": database,
        "MOSAIC_PUBLIC_URL": url,
        "MOSAIC_CA_URL": ca.url,
        "MOSAIC_CA_ROOT": str(ca.folder / "root_ca.crt"),
        "MOSAIC_CA_PROVISIONERS": str(ca.folder),
        "MOSAIC_TOKEN_PEPPER_FILE": str(pepper),
        "MOSAIC_KEYRING": str(folder / "keys"),
    }


@contextmanager
def _serve(log: Path, port: int, settings: dict[str, str]) -> Iterator[Endpoint]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = {**inherited, **settings, "MOSAIC_LISTEN": f"127.0.0.1:{port}"}
    process = spawn([*COMMAND, "serve"], log=log, env=environ, cwd=log.parent)
    endpoint = Endpoint(process, port, log)
    try:
        wait_until(lambda: endpoint.is_ready, "the endpoint listens")
        yield endpoint
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, log.read_text()[-4096:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL with a migrated database until the block ends; give its URL."""
    with running_cluster(folder) as cluster:
        upgrade(Database(cluster.url(), "tests"))
        yield cluster.url()


@contextmanager
def scratch_database() -> Iterator[tuple[Path, str]]:
    """Run such a database in a temporary folder; give both."""
    with tempfile.TemporaryDirectory(prefix="mosaic-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, the database server runs as another account
        with database(folder) as url:
            yield folder, url
