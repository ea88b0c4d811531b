"""One PostgreSQL server that is ours: made, started, found again and stopped.

We run the wheel's binaries ourselves: passwords for everyone (scram), no TCP, the socket in a
folder that only the server's account may enter, and no mode changed of what is not ours. A server
is known by the pid in its `postmaster.pid` together with its working folder, which is its data.

One that runs is never stopped because it takes no connection: it may be recovering, or full. Only
one that says nothing at all is started again.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from reconciler.embedded import processes
from reconciler.embedded.postgres.account import own_folder
from reconciler.embedded.postgres.programs import MEMORY, initdb_memory_options
from reconciler.errors import MosaicError, Retry
from reconciler.store.connection import probe
from reconciler.store.connection.probe import ServerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from reconciler.embedded.processes import Identity, SystemAccount

SUPERUSER: Final = "mosaic"
DATABASE: Final = "mosaic"
PROGRAM: Final = "postgres"
SOCKET: Final = ".s.PGSQL.5432"
MAX_SOCKET_PATH: Final = 107  # unix(7): sun_path holds 108 bytes with the final zero
TELL_S: Final = 3.0
END_S: Final = 15.0
INITDB_S: Final = 120.0
POLL_S: Final = 0.02
STOP: Final = ((signal.SIGINT, 4.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 1.0))  # fast first
KILL: Final = ((signal.SIGKILL, 5.0),)
# A server of `initdb` ends by itself once that one has ended: only so does PostgreSQL 15 remove the
# shared memory that it has in /dev/shm. SIGCONT changes nothing for one that is not stopped.
LET_END: Final = ((signal.SIGCONT, 10.0), *KILL)
# How long to wait for one that says nothing, and for one that takes no connection. A disk may be
# busy; recovery after a crash reads the log of all that was done since the last checkpoint.
STARTING_S: Final = {ServerState.SILENT: 60.0, ServerState.BUSY: 300.0}
RUNNING_S: Final = {ServerState.SILENT: 15.0, ServerState.BUSY: 10.0}
UNSAFE_BUT_FAST: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server's folders, account and password. `base` is the server's own, mode 0700."""

    base: Path
    sockets: Path
    binaries: Path
    account: SystemAccount | None
    password: str = field(repr=False)
    log: Path
    durable: bool = True

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.base / "data"

    def binary(self, name: str) -> Path:
        """Return one of the server's programs."""
        return self.binaries / name

    def url(self, database: str = DATABASE) -> str:
        """Return the superuser's libpq URL. It holds the password."""
        return self._url(SUPERUSER, self.password, database)

    def login_url(self, login: str, password: str) -> str:
        """Return the libpq URL of another login. It holds the password."""
        return self._url(login, password, DATABASE)

    def _url(self, login: str, password: str, database: str) -> str:
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{login}:{quote(password, safe='')}@/{database}?host={host}"


def never() -> bool:
    """Wait as long as it takes."""
    return False


def ensure_running(cluster: Cluster, give_up: Callable[[], bool] = never) -> None:
    """Make the server on first use, start it unless it runs, and wait until it answers.

    The caller holds a lock, so that nobody else starts or stops it meanwhile. `give_up` is asked
    during the wait.

    Raises:
        MosaicError: `child_failed`, with what the server wrote; `database_unavailable`: it runs and
            has no room.
    """
    probe.drop_libpq_environment()  # before the first connection, and before there are threads
    for folder in (cluster.base, cluster.sockets):
        own_folder(folder, cluster.account)
    if not made(cluster):
        _initdb(cluster)
    server = running(cluster)
    if server is None:
        _start(cluster, give_up)
    else:
        answer = _wait(cluster, lambda: processes.alive(server), RUNNING_S, give_up)
        if answer is ServerState.BUSY:
            raise Retry(
                "database_unavailable",
                "PostgreSQL runs, but accepts no connection",
                hint=f"it is recovering, or all connections are in use: see {cluster.log}",
            )
        if answer is ServerState.SILENT:
            _start(cluster, give_up)
    probe.ensure_database(cluster.url("postgres"), DATABASE)


def made(cluster: Cluster) -> bool:
    """Tell whether the server has data."""
    return (cluster.data / "PG_VERSION").exists()


def running(cluster: Cluster) -> Identity | None:
    """Return the server's identity, or None where it does not run."""
    return server_in(cluster.data)


def server_in(data: Path) -> Identity | None:
    """Return the identity of the server whose data folder this is, or None."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    # a pid alone may be a stranger's by now; the server's working folder is its data
    return processes.working(pid, data, PROGRAM)


def end_all_in(base: Path) -> None:
    """End every process of a server that has its folder there, one that is half made too."""
    server = server_in(base / "data")
    if server is not None:
        processes.stop(server, STOP)
    for folder, program, steps in (
        (base, "initdb", KILL),
        (base, PROGRAM, LET_END),
        (base / "data.new", PROGRAM, LET_END),
        (base / "data", PROGRAM, KILL),
    ):
        for left in processes.working_in(folder, program):
            processes.stop(left, steps)


def stop(cluster: Cluster) -> None:
    """Stop the server, if it runs; transactions under way are rolled back."""
    server = running(cluster)
    if server is not None:
        processes.stop(server, STOP)


def _initdb(cluster: Cluster) -> None:
    """Make the data folder beside its place, then move it there: whole or not at all."""
    fresh, password = cluster.base / "data.new", cluster.base / "password"
    end_all_in(cluster.base)  # whose starter was killed would write into the new one's folder
    shutil.rmtree(fresh, ignore_errors=True)
    password.unlink(missing_ok=True)
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(cluster.password)
        if cluster.account is not None:
            os.fchown(file.fileno(), cluster.account.uid, cluster.account.gid)
    options = ["--username", SUPERUSER, "--auth", "scram-sha-256", "--pwfile", str(password)]
    options += ["--encoding", "UTF8", "--locale", "C", *([] if cluster.durable else ["-N"])]
    options += initdb_memory_options(cluster.binaries)
    before = processes.log_size(cluster.log)
    child = processes.spawn(
        [cluster.binary("initdb"), "--pgdata", fresh, *options],
        log=cluster.log,
        account=cluster.account,
        cwd=cluster.base,
    )
    try:
        code = child.wait(INITDB_S)
    except subprocess.TimeoutExpired:
        child.kill()
        code = child.wait()
    finally:
        password.unlink(missing_ok=True)
    if code != 0:
        raise _failed(cluster, "PostgreSQL's data folder cannot be made", before)
    fresh.rename(cluster.data)  # last: `made` takes what is there for whole


def _start(cluster: Cluster, give_up: Callable[[], bool]) -> None:
    stop(cluster)  # one that runs and says nothing
    _clear_away(cluster)  # only then: its lock files would keep the next one from starting
    before = processes.log_size(cluster.log)
    child = processes.spawn(
        _command(cluster), log=cluster.log, account=cluster.account, cwd=cluster.base
    )
    answer = _wait(cluster, lambda: child.poll() is None, STARTING_S, give_up)
    if answer is ServerState.READY:
        processes.detach(child)
        return
    if child.poll() is None:
        child.send_signal(signal.SIGINT if answer is ServerState.BUSY else signal.SIGKILL)
        processes.detach(child)
    raise _failed(cluster, "PostgreSQL did not start", before)


def _wait(
    cluster: Cluster,
    alive: Callable[[], bool],
    patience_s: Mapping[ServerState, float],
    give_up: Callable[[], bool],
) -> ServerState:
    """Wait until a server takes connections; return how it answered last."""
    began, logged = time.monotonic(), False
    answer = ServerState.SILENT
    while alive() and not give_up():
        answer = probe.ask(cluster.url("postgres"))
        waited_s = time.monotonic() - began
        if answer is ServerState.READY or waited_s > patience_s[answer]:
            return answer
        if waited_s > TELL_S and not logged:
            logged = True
            _log.warning("PostgreSQL is not ready: %s", answer.value)
        time.sleep(POLL_S)
    return answer if alive() else ServerState.SILENT


def _clear_away(cluster: Cluster) -> None:
    """Remove the lock files of a server that was killed, once the last of its children has ended.

    A lock file names a pid, which is easily somebody else's by now, in a container above all. What
    makes the removal safe is that no process of a server works in the data folder any more.
    """
    until = time.monotonic() + END_S
    while left := processes.working_in(cluster.data, PROGRAM):
        if time.monotonic() >= until:
            pids = ", ".join(str(each.pid) for each in left)
            raise Retry(
                "child_failed",
                f"processes of a server that was killed still use {cluster.data}: {pids}",
                hint="end them, and run this again",
            )
        time.sleep(POLL_S)
    for stale in (cluster.data / "postmaster.pid", cluster.sockets / f"{SOCKET}.lock"):
        stale.unlink(missing_ok=True)


def _command(cluster: Cluster) -> list[str | Path]:
    settings = [
        "listen_addresses=",
        f"unix_socket_directories={cluster.sockets}",
        "unix_socket_permissions=0700",
        "max_connections=100",
        MEMORY,
        "timezone=UTC",
        "log_timezone=UTC",
        "log_error_verbosity=terse",  # a DETAIL line prints the row
        *(() if cluster.durable else UNSAFE_BUT_FAST),
    ]
    options = [part for setting in settings for part in ("-c", setting)]
    return [cluster.binary("postgres"), "-D", cluster.data, *options]


def _failed(cluster: Cluster, what: str, before: int) -> MosaicError:
    """Return the error with what was written to the log after its first `before` bytes."""
    lines = processes.last_lines(cluster.log, before)
    return Retry("child_failed", f"{what}: {lines}", hint=f"see {cluster.log}")
