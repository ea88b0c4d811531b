"""Real parts for all tests: one PostgreSQL server a session, a fresh database a test."""

from __future__ import annotations

import logging
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings

from reconciler.store.connection import probe
from reconciler.store.db import Database
from reconciler.store.migrate import upgrade
from tests.support.commands.fork_server import fork_server
from tests.support.database.cluster import new_database, running_cluster
from tests.support.database.folder import database_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.embedded.postgres.server import Cluster

pytest_plugins = ("tests.support.run_folder",)
TEMPLATE: Final = "migrated"

# The same examples in each run, however busy the machine; `--hypothesis-profile=explore` seeks new.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("suite")

# who starts us in the background may leave SIGINT ignored, and every child would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_log_levels() -> Iterator[None]:
    """Undo what a verb that ran in this process chose, so that the next test sees warnings."""
    ours = logging.getLogger("reconciler")
    level = ours.level
    yield
    ours.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def stop_fork_server() -> Iterator[None]:
    """Leave no process behind that commands were forked from."""
    yield
    fork_server.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """Run a PostgreSQL server: fast, because no test claims that it survives a power cut."""
    with tempfile.TemporaryDirectory(prefix="mosaic-pg-", dir=database_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, the server runs as another account
        with running_cluster(folder, durable=False) as cluster:
            yield cluster


@pytest.fixture(scope="session")
def template(server: Cluster) -> str:
    """Migrate one database, of which every test's is a copy."""
    probe.ensure_database(server.url("postgres"), TEMPLATE)
    upgrade(Database(server.url(TEMPLATE), "tests"))
    return TEMPLATE


@pytest.fixture
def database_url(server: Cluster, template: str) -> Iterator[str]:
    """Give the URL of a freshly migrated database."""
    with new_database(server, template) as url:
        yield url


@pytest.fixture(scope="module")
def shared_database_url(server: Cluster, template: str) -> Iterator[str]:
    """Give the URL of a migrated database that the tests of a module share."""
    with new_database(server, template) as url:
        yield url


@pytest.fixture
def empty_database_url(server: Cluster) -> Iterator[str]:
    """Give the URL of a database in which nothing is."""
    with new_database(server) as url:
        yield url
