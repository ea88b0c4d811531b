"""PostgreSQL as a gateway runs it, in a folder of a test."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.programs import server_binaries
from reconciler.embedded.postgres.server import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
    try:
        yield cluster
    finally:
        clusters.stop(cluster)
