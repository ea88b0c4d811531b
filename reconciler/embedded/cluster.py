"""One PostgreSQL server that is ours: made, started, found again and stopped.

We run the wheel's binaries ourselves: passwords for everyone (scram), no TCP, the socket in a
folder that only the server's account may enter, and no mode changed of what is not ours. A server
is known by the pid in its `postmaster.pid` together with its working folder, which is its data.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from reconciler.embedded import processes
from reconciler.errors import MosaicError, NeedsEdit, Retry
from reconciler.store import probe

if TYPE_CHECKING:
    from reconciler.embedded.processes import Account, Identity

OWNER: Final = "mosaic"  # role and database
SOCKET: Final = ".s.PGSQL.5432"
MAX_SOCKET_PATH: Final = 107  # unix(7): sun_path holds 108 bytes with the final zero
READY_S: Final = 60.0
POLL_S: Final = 0.03
STOP: Final = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 2.0))  # fast first
UNSAFE_BUT_FAST: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server's folders, account and password. `base` is the server's own, mode 0700."""

    base: Path
    sockets: Path
    binaries: Path
    account: Account | None
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

    def url(self, database: str = OWNER) -> str:
        """Return the owner's libpq URL. It holds the password."""
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{OWNER}:{quote(self.password, safe='')}@/{database}?host={host}"


def ensure_running(cluster: Cluster) -> None:
    """Make the server on first use, start it unless it runs, and wait until it answers.

    The caller holds a lock, so that nobody else starts or stops it meanwhile.

    Raises:
        MosaicError: `child_failed`, with what the server wrote last.
    """
    for folder in (cluster.base, cluster.sockets):
        _own_folder(folder, cluster.account)
    if not (cluster.data / "PG_VERSION").exists():
        _initdb(cluster)
    if running(cluster) is None or not probe.answers(cluster.url("postgres")):
        _start(cluster)
    probe.ensure_database(cluster.url("postgres"), OWNER)


def running(cluster: Cluster) -> Identity | None:
    """Return the server's identity, or None where it does not run."""
    try:
        pid = int((cluster.data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    found = processes.identify(pid)
    # a pid alone may be a stranger's by now; the server's working folder is its data
    ours = _working_folder(Path(f"/proc/{pid}")) == cluster.data.resolve()
    return found if ours else None


def stop(cluster: Cluster) -> None:
    """Stop the server, if it runs; transactions under way are rolled back."""
    found = running(cluster)
    if found is not None:
        processes.stop(found, STOP)


def _own_folder(folder: Path, account: Account | None) -> None:
    """Make a folder (0700) of the server's account; refuse one that is somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        status = folder.lstat()
        owner = account.uid if account is not None else os.geteuid()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or status.st_mode & 0o077:
            raise NeedsEdit(
                "child_failed",
                f"{folder} is there already, and is not a private folder of the server's account",
                hint="move it away",
            ) from None


def _initdb(cluster: Cluster) -> None:
    """Make the data folder beside its place, then move it there: whole or not at all."""
    fresh, password = cluster.base / "data.new", cluster.base / "password"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(cluster.data, ignore_errors=True)
    password.unlink(missing_ok=True)
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(cluster.password)
        if cluster.account is not None:
            os.fchown(file.fileno(), cluster.account.uid, cluster.account.gid)
    options = ["--username", OWNER, "--auth", "scram-sha-256", "--pwfile", str(password)]
    options += ["--encoding", "UTF8", "--locale", "C", *([] if cluster.durable else ["-N"])]
    child = processes.spawn(
        [cluster.binary("initdb"), "--pgdata", fresh, *options],
        log=cluster.log,
        account=cluster.account,
        cwd=cluster.base,
    )
    try:
        code = child.wait(READY_S * 2)
    except subprocess.TimeoutExpired:
        child.kill()
        code = child.wait()
    finally:
        password.unlink(missing_ok=True)
    if code != 0:
        raise _failed(cluster, "PostgreSQL's data folder cannot be made")
    fresh.rename(cluster.data)


def _start(cluster: Cluster) -> None:
    stop(cluster)  # one that runs and does not answer
    until = time.monotonic() + READY_S
    _clear_away(cluster, until)
    child = processes.spawn(
        _command(cluster), log=cluster.log, account=cluster.account, cwd=cluster.base
    )
    while time.monotonic() < until and child.poll() is None:
        if (cluster.sockets / SOCKET).exists() and probe.answers(cluster.url("postgres")):
            processes.detach(child)
            return
        time.sleep(POLL_S)
    child.kill()
    child.wait()
    raise _failed(cluster, "PostgreSQL did not start")


def _clear_away(cluster: Cluster, until: float) -> None:
    """Remove the lock files of a server that was killed, once the last of its children has ended.

    A lock file names a pid, which is easily somebody else's by now, in a container above all. What
    makes the removal safe is that no process works in the data folder any more.
    """
    data = cluster.data.resolve()
    while any(_working_folder(pid) == data for pid in Path("/proc").iterdir()):
        if time.monotonic() >= until:
            raise _failed(cluster, f"processes of a server that was killed still use {data}")
        time.sleep(POLL_S)
    for stale in (cluster.data / "postmaster.pid", cluster.sockets / f"{SOCKET}.lock"):
        stale.unlink(missing_ok=True)


def _working_folder(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:  # no process, one that has ended, or another user's
        return None


def _command(cluster: Cluster) -> list[str | Path]:
    settings = [
        "listen_addresses=",
        f"unix_socket_directories={cluster.sockets}",
        "unix_socket_permissions=0700",
        "max_connections=100",
        "timezone=UTC",
        "log_timezone=UTC",
        *(() if cluster.durable else UNSAFE_BUT_FAST),
    ]
    options = [part for setting in settings for part in ("-c", setting)]
    return [cluster.binary("postgres"), "-D", cluster.data, *options]


def _failed(cluster: Cluster, what: str) -> MosaicError:
    return Retry(
        "child_failed",
        f"{what}: {_tail(cluster) or 'it wrote nothing'}",
        hint=f"see {cluster.log}",
    )


def _tail(cluster: Cluster) -> str:
    try:
        lines = cluster.log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return " / ".join(lines[-3:])
