"""Where the database of a gateway is, and whether anything is left of a gateway."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.embedded.postgres.data_directory import data_directories
from reconciler.embedded.postgres.home_server import cluster_of, short_sockets

if TYPE_CHECKING:
    from tests.support.gateways.gateway import TestGateway


def data_of(gateway: TestGateway) -> Path:
    """Return the folder of the gateway's database: in its home, or as root in /var/lib."""
    base = cluster_of(gateway.home).base
    return base if base.is_relative_to(gateway.home.path) else base.parent


def is_gone(gateway: TestGateway, data: Path) -> None:
    """Check that nothing is kept of a gateway but what people wrote."""
    assert sorted(gateway.cwd.iterdir()) in ([], [gateway.manifests])
    assert not data.exists()
    assert not [directory for directory in data_directories() if directory.home == gateway.home]
    assert not [each for each in short_sockets(gateway.home, os.geteuid()) if each.exists()]
    assert gateway.processes() == {}
    assert not [each for each in Path("/proc").glob("[0-9]*/cwd") if works_in(each, data)]


def works_in(link: Path, folder: Path) -> bool:
    try:
        return os.fspath(link.readlink()).startswith(f"{folder}/")
    except OSError:  # it has ended
        return False
