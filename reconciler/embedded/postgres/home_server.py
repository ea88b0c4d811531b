"""The home's database server: started by whoever needs it first, stopped by who needs it last.

Users of the server hold `lock` shared. Whoever starts or stops it holds `run/start.lock` meanwhile,
and takes `lock` only under it, so that nobody begins to use a server that is being stopped. Locks
end with their process: after a `kill -9` the next user finds the server, or starts it.

Where the data lie is chosen once and recorded in the home: the modes of the folders above may
change, and a gateway must never go on with another, empty database.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.embedded.folders import locked
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.account import reachable, server_account
from reconciler.embedded.postgres.data_directory import (
    data_directory_of,
    new_data_directory,
    original_of,
)
from reconciler.embedded.postgres.logins import login_url, require_logins
from reconciler.embedded.postgres.programs import require_usable, server_binaries
from reconciler.embedded.postgres.server import MAX_SOCKET_PATH, SOCKET, Cluster
from reconciler.errors import OTHER_USER, NeedsEdit
from reconciler.files import write_new

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.config.home import Home
    from reconciler.embedded.processes import SystemAccount

RUNTIME: Final = (Path("/run"), Path("/tmp"))  # noqa: S108 - the folder's owner and mode are checked


@contextmanager
def postgres(
    home: Home, give_up: Callable[[], bool] = clusters.never, *, login: str | None = None
) -> Iterator[str]:
    """Use the home's server: yields the libpq URL of a login, which holds the password.

    Without a `login` that is the superuser's, for migrations. `give_up` is called while the server
    starts.

    Raises:
        MosaicError: `child_failed`: the server does not start; `database_unavailable`: it has no
            room; `home_missing`: init is not done, or the data have gone; `config_invalid`: the
            PostgreSQL that is named cannot be used.
    """
    cluster = cluster_of(home)
    with locked(home.lock, None) as lock:
        with starting(home):
            # Within `starting`: whoever stops the server as its last user holds that lock while it
            # tries for an exclusive one, so no user can come between its try and the stop.
            fcntl.flock(lock, fcntl.LOCK_SH)
            _require_data(home, cluster)
            data = cluster.data if clusters.made(cluster) else None
            require_usable(cluster.account, home.server, data)
            clusters.ensure_running(cluster, give_up)
            require_logins(home, cluster)
            if cluster.sockets.parent != cluster.base:  # who finds it knows whose it is
                write_new(cluster.sockets / "home", os.fsencode(home.path) + b"\n", 0o444)
        try:
            yield login_url(home, cluster, login) if login is not None else cluster.url()
        finally:
            with starting(home):
                _stop_if_last(cluster, lock)


def has_data(home: Home) -> bool:
    """Tell whether the home has a database; makes nothing."""
    try:
        base = Path(home.database_place.read_text().strip())
    except FileNotFoundError:
        return False
    return (base / "data" / "PG_VERSION").exists()


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
        hint = "restore it from a backup of the home"
        if isinstance(error, PermissionError):
            hint = OTHER_USER
        raise NeedsEdit(
            "home_missing",
            f"{home.database_password} cannot be read: {error.strerror}",
            hint=hint,
        ) from None
    account = server_account()
    base = _base(home, account)
    return Cluster(
        base=base,
        sockets=_sockets(home, base),
        binaries=server_binaries(account, home.server),
        account=account,
        password=password,
        log=home.log_of("postgres"),
    )


def _base(home: Home, account: SystemAccount | None) -> Path:
    """Return the server's folder: as recorded, else chosen now and recorded.

    It lies in the home where the account can reach that. Otherwise it is a new folder outside, with
    a name of its own: what a removed home may have left there is never taken for this one's.

    Raises:
        NeedsEdit: `program_unusable`: the account cannot reach it any more; `home_missing`: it is
            that of another home, of which this one is a copy.
    """
    if not home.database_place.exists():
        _require_incomplete(home)
        base = home.path / "postgres"
        if account is not None and not reachable(base / "data", account):
            base = new_data_directory(home).server
        else:
            write_new(home.database_place, f"{base}\n".encode(), 0o444)
    base = Path(home.database_place.read_text().strip())
    _require_own(home, base)
    if account is not None and not reachable(base / "data", account):
        raise NeedsEdit(
            "program_unusable",
            f"the account {account.name} cannot reach {base}, the folder of the database",
            hint="allow it to enter the folders above (chmod o+x)",
        )
    return base


def _require_own(home: Home, base: Path) -> None:
    """Refuse a copy of a home: it would use, change and stop the database of the one it is of."""
    directory = data_directory_of(base)
    if directory is not None:
        original = original_of(home, directory)
    else:
        owner = base.parent
        there = owner.joinpath("mosaic.toml").is_file()
        original = owner if there and not owner.samefile(home.path) else None
    if original is not None:
        raise NeedsEdit(
            "home_missing",
            f"{home.path} is a copy of {original}, and has no database of its own",
            hint=f"use that one; to remove this one: "
            f"`mosaic federation destroy --home {shlex.quote(str(home.path))}`",
        )


def _require_incomplete(home: Home) -> None:
    """Refuse to choose a place, with an empty database, for a home that has one somewhere."""
    if home.config.is_file() and not (home.path / "postgres" / "data").exists():
        raise NeedsEdit(
            "home_missing",
            f"{home.database_place}, which says where the database is, does not exist",
            hint="restore it from a backup of the home",
        )


def _require_data(home: Home, cluster: Cluster) -> None:
    """Refuse to begin again, with an empty database, where a complete home has lost its data."""
    if not home.config.is_file() or clusters.made(cluster):
        return
    hint = f"restore it from a backup, or remove {home.path} and start over"
    if (home.path / "postgres" / "data").exists():
        hint = f"it contains absolute paths: move it back to {cluster.base.parent}"
    raise NeedsEdit(
        "home_missing",
        f"the database of {home.path} is missing: {cluster.data} does not exist",
        hint=hint,
    )


def _sockets(home: Home, base: Path) -> Path:
    folder = base / "run"
    separated = "," in str(folder)  # for libpq and the server that is a list of folders
    if not separated and len(os.fsencode(folder / SOCKET)) <= MAX_SOCKET_PATH:
        return folder
    choices = short_sockets(home, os.geteuid())
    return next(each for each in choices if os.access(each.parent, os.W_OK))


def short_sockets(home: Home, uid: int) -> list[Path]:
    """Return where a user's home has its socket if its own path is too long, or has a comma."""
    return [folder / f"mosaic-{uid}-{home.id}" for folder in RUNTIME]


def _stop_if_last(cluster: Cluster, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # somebody else uses it
    clusters.stop(cluster)
