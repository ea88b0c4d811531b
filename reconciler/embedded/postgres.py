"""The home's database server: started by whoever needs it first, stopped by who needs it last.

Users of the server hold `lock` shared. Whoever starts or stops it holds `run/start.lock` meanwhile,
and takes `lock` only under it, so that nobody begins to use a server that is being stopped. Locks
end with their process: after a `kill -9` the next user finds the server, or starts it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.embedded import cluster as clusters
from reconciler.embedded.account import reachable, server_account
from reconciler.embedded.binaries import outside, server_binaries
from reconciler.embedded.cluster import MAX_SOCKET_PATH, SOCKET, Cluster
from reconciler.embedded.files import locked
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.embedded.home import Home

RUNTIME: Final = (Path("/run"), Path("/tmp"))  # noqa: S108 - the folder's owner and mode are checked


@contextmanager
def postgres(home: Home) -> Iterator[str]:
    """Use the home's server: yields the owner's libpq URL, which holds the password.

    Raises:
        MosaicError: `child_failed`: the server does not start; `home_missing`: init is not done.
    """
    cluster = cluster_of(home)
    with locked(home.lock, None) as lock:
        with starting(home):
            fcntl.flock(lock, fcntl.LOCK_SH)
            clusters.ensure_running(cluster)
        try:
            yield cluster.url()
        finally:
            with starting(home):
                _stop_if_last(cluster, lock)


@contextmanager
def starting(home: Home) -> Iterator[None]:
    """Be the only one that starts or stops the server."""
    with locked(home.run / "start.lock", fcntl.LOCK_EX):
        yield


def cluster_of(home: Home) -> Cluster:
    """Return the home's server.

    Raises:
        NeedsEdit: `home_missing`: the home is not complete.
    """
    try:
        password = home.database_password.read_text().strip()
    except OSError as error:
        raise NeedsEdit(
            "home_missing",
            f"{home.database_password} cannot be read: {error.strerror}",
            hint="run `mosaic federation init` again: it completes a home",
        ) from None
    account = server_account()
    base = home.path / "postgres"
    if account is not None and not reachable(base / "data", account):
        base = outside() / home.id
    return Cluster(
        base=base,
        sockets=_sockets(home, base),
        binaries=server_binaries(account),
        account=account,
        password=password,
        log=home.log_of("postgres"),
    )


def remove(home: Home) -> None:
    """Stop the server and remove its data, wherever it lies."""
    cluster = cluster_of(home)
    with starting(home):
        clusters.stop(cluster)
        for folder in (cluster.base, cluster.sockets):
            shutil.rmtree(folder, ignore_errors=True)


def _sockets(home: Home, base: Path) -> Path:
    folder = base / "run"
    if len(os.fsencode(folder / SOCKET)) <= MAX_SOCKET_PATH:
        return folder
    writable = next(each for each in RUNTIME if os.access(each, os.W_OK))
    return writable / f"mosaic-{os.geteuid()}-{home.id}"


def _stop_if_last(cluster: Cluster, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # somebody else uses it
    clusters.stop(cluster)
