"""PostgreSQL as a gateway runs it, in a folder of a test, and databases in it."""

from __future__ import annotations

import itertools
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg

from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import server_binaries
from reconciler.embedded.postgres.server import SUPERUSER, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NUMBERS: Final = itertools.count()


@contextmanager
def running_cluster(folder: Path, *, durable: bool = True) -> Iterator[Cluster]:
    """Run a server until the block ends."""
    account = server_account()
    cluster = Cluster(
        base=folder / "server",
        sockets=folder / "server" / "run",
        binaries=server_binaries(account),
        account=account,
        password=secrets.token_urlsafe(16),
        log=folder / "postgres.log",
        durable=durable,
    )
    clusters.ensure_running(cluster)
    if not durable:
        _connect_fast(cluster)
    try:
        yield cluster
    finally:
        clusters.stop(cluster)


def _connect_fast(cluster: Cluster) -> None:
    """Hash the password once a connection, not 4,096 times: a test opens dozens of them."""
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute("SET scram_iterations = 1")
        connection.execute(f"ALTER ROLE {SUPERUSER} PASSWORD '{cluster.password}'".encode())


@contextmanager
def new_database(cluster: Cluster, template: str = "template1") -> Iterator[str]:
    """Make a database, a copy of another one, and drop it at the end; yields its URL.

    Its 300 files are not written to the log too, and those that live for less than half a minute
    not to the disk: the kernel's part of that would be a fifth of the time of all tests.
    """
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        copy = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
        connection.execute(copy.encode())
    try:
        yield cluster.url(name)
    finally:
        with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
