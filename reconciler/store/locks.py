"""The one lock of the reconciler: a transaction-level advisory lock, and who holds it."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from reconciler.core.model.text import printable
from reconciler.core.model.times import rfc3339
from reconciler.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.store.db import Database, Tx

MAX_NAME: Final = 63  # octets of an application_name (NAMEDATALEN - 1)
MIN_USER: Final = 8  # characters of a user's name that a long host's name leaves
APPLY_LOCK: Final = 0x6D6F73_61706C  # "mosapl", of pg_advisory_xact_lock
DEFAULT_WAIT: Final = timedelta(seconds=30)  # for that lock


def application_name(command: str) -> str:
    """Return what a connection says of itself: command, process, user and host.

    Where that does not fit, the user's end and then the host's beginning give way: replicas differ
    in the end of their names.
    """
    prefix = f"mosaic {command} pid {os.getpid()} "
    user, _, host = actor_name().encode("ascii", "replace").decode().rpartition("@")
    room = MAX_NAME - len(prefix) - 1
    user = user[: max(room - len(host), MIN_USER)]
    room -= len(user)
    return f"{prefix}{user}@{host if len(host) <= room else f'~{host[1 - room :]}'}"


def actor_name() -> str:
    """Return `user@host` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def actor_of(part: Literal["user", "loop", "worker"]) -> str:
    """Return who acts, as a record names it: a person, the loop or a worker of this process."""
    return f"{part}:{actor_name()}"


@contextmanager
def locked(database: Database, wait: timedelta) -> Iterator[Tx]:
    """Open a transaction that holds the reconciler's lock until its end.

    A lock of the session would be held by two clients at once behind a transaction-pooling proxy.

    Raises:
        Retry: `lock_held`, naming the holder if it is known.
    """
    held = False
    try:
        with database.transaction(lock_timeout=wait) as tx:
            tx.run("SELECT pg_advisory_xact_lock(:key)", key=APPLY_LOCK)
            tx.run("SELECT set_config('lock_timeout', '15000', true)")
            held = True
            yield tx
    except Retry as error:
        if error.code != "lock_held" or held:
            raise
        raise Retry(
            "lock_held",
            f"another process holds the lock: {_holder(database)}",
            hint="run the command again, or wait longer with --wait-lock 5m",
        ) from None


def _holder(database: Database) -> str:
    """Return who holds the lock. Its start is hidden from a role that may not see the holder's."""
    with database.transaction() as tx:
        row = tx.row(
            "SELECT a.application_name, a.xact_start, a.usename, host(a.client_addr) AS address,"
            " a.pid FROM pg_locks AS l"
            " JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory'"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = :key",
            key=APPLY_LOCK,
        )
    if row is None:
        return "it has just been released"
    where = f" at {row['address']}" if row["address"] else ""
    started = row["xact_start"]
    since = f", since {rfc3339(started.replace(microsecond=0))}" if started is not None else ""
    who = printable(row["application_name"], MAX_NAME) or "a connection without a name"
    return f"{who} (as {row['usename']}{where}, backend {row['pid']}){since}"
