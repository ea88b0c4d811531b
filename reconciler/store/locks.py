"""The one lock of the reconciler: a transaction-level advisory lock, and who holds it."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from reconciler.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from reconciler.store.tx import Database, Tx

MAX_NAME: Final = 63  # octets of an application_name (NAMEDATALEN - 1)
APPLY_LOCK: Final = 0x6D6F73_61706C  # "mosapl", of pg_advisory_xact_lock


def application_name(command: str) -> str:
    """Return what a connection says of itself: command, process, user and host, as far as fits."""
    return f"mosaic {command} pid {os.getpid()} {actor_name()}"[:MAX_NAME]


def actor_name() -> str:
    """Return `user@host` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextmanager
def locked(database: Database, wait: timedelta) -> Iterator[Tx]:
    """Open a transaction that holds the reconciler's lock until its end.

    A lock of the session would be held by two clients at once behind a transaction-pooling proxy.

    Raises:
        Retry: `lock_held`, naming the holder where it can be told.
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
            hint="wait for it, or give it longer with --wait-lock 5m",
        ) from None


def _holder(database: Database) -> str:
    with database.transaction() as tx:
        row = tx.row(
            "SELECT a.application_name, a.xact_start, a.usename, host(a.client_addr) AS address,"
            " a.pid FROM pg_locks AS l"
            " JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory'"
            " AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = :key",
            key=APPLY_LOCK,
        )
    if row is None:
        return "it has just been released"
    where = f" at {row['address']}" if row["address"] else ""
    return (
        f"{row['application_name']} (as {row['usename']}{where}, backend {row['pid']}),"
        f" since {row['xact_start']:%H:%M:%S} UTC"
    )
