"""The embedded PostgreSQL: shared, stopped by the last, found again after a kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.home_server import cluster_of, postgres
from reconciler.embedded.supervise import sole_gateway
from reconciler.errors import Retry
from reconciler.store.connection import probe
from tests.support.gateways.home import USER, as_root, finish, made_home, open_folder, user
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.config.home import Home


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """Give one home to all: each test leaves it as it found it."""
    with open_folder() as folder, made_home(folder) as made:
        yield made


def test_the_server_runs_while_it_is_used_and_no_longer(home: Home) -> None:
    with postgres(home) as url:
        assert probe.answers(url)
        assert clusters.running(cluster_of(home)) is not None

    assert clusters.running(cluster_of(home)) is None


def test_the_last_of_two_users_stops_the_server(home: Home) -> None:
    other = user(home, 1.5)
    with postgres(home) as url:
        before = clusters.running(cluster_of(home))
        assert finish(other) == 0
        assert clusters.running(cluster_of(home)) == before
        assert probe.answers(url)

    assert clusters.running(cluster_of(home)) is None


def test_two_that_begin_at_once_share_one_server(home: Home) -> None:
    others = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(USER), str(home.path), "0.5"])
        for _ in range(4)
    ]

    assert [each.wait(PATIENCE_S) for each in others] == [0, 0, 0, 0]
    assert clusters.running(cluster_of(home)) is None


def test_a_user_that_was_killed_leaves_a_server_that_the_next_one_takes_over(home: Home) -> None:
    other = user(home, 60)
    other.kill()
    finish(other)
    left = clusters.running(cluster_of(home))
    assert left is not None

    with postgres(home) as url:
        assert clusters.running(cluster_of(home)) == left
        assert probe.answers(url)

    assert clusters.running(cluster_of(home)) is None


def test_a_server_that_was_killed_is_started_again(home: Home) -> None:
    other = user(home, 60)  # which does not reap it: a zombie's pid still takes signals
    killed = clusters.running(cluster_of(home))
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)

    with postgres(home) as url:
        assert probe.answers(url)
        assert clusters.running(cluster_of(home)) != killed
    other.kill()
    finish(other)
    with postgres(home):
        pass
    assert clusters.running(cluster_of(home)) is None


def test_stale_files_after_a_reboot_that_name_strangers_are_passed_over(home: Home) -> None:
    cluster = cluster_of(home)
    with postgres(home):  # files of the real form, taken while it runs
        names = (cluster.data / "postmaster.pid", cluster.sockets / ".s.PGSQL.5432.lock")
        texts = [each.read_text().split("\n", 1)[1] for each in names]
    for path, text in zip(names, texts, strict=True):
        path.write_text(f"{os.getpid()}\n{text}")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(cluster.sockets / ".s.PGSQL.5432"))
    (home.run / "gateway.lock").write_text("1\n")

    with sole_gateway(home), postgres(home) as url:
        assert probe.answers(url)


@as_root
def test_another_user_of_the_machine_cannot_connect(home: Home) -> None:
    psql = cluster_of(home).binary("psql")
    with postgres(home) as url:
        parts = urlsplit(url)
        host = unquote(parts.query.removeprefix("host="))
        without_password = f"postgresql://mosaic@/mosaic?host={host}"
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        refused = [
            subprocess.run(
                [*prefix, psql, target, "-w", "-c", "SELECT 1"],
                capture_output=True,
                text=True,
                check=False,
            )
            for prefix, target in ((as_nobody, url), ([], without_password))
        ]
        allowed = subprocess.run(
            [psql, url, "-Atc", "SELECT current_user"], capture_output=True, text=True, check=True
        )

    assert [each.returncode for each in refused] == [2, 2]
    assert "Permission denied" in refused[0].stderr
    assert "no password supplied" in refused[1].stderr
    assert allowed.stdout == "mosaic\n"


def test_no_tcp_port_is_open(home: Home) -> None:
    with postgres(home):
        server = clusters.running(cluster_of(home))
        assert server is not None
        sockets = Path(f"/proc/{server.pid}/net/tcp").read_text()
        inodes = {str(each.readlink()) for each in Path(f"/proc/{server.pid}/fd").iterdir()}
    listening = [line.split()[9] for line in sockets.splitlines()[1:] if line.split()[3] == "0A"]
    assert not {f"socket:[{inode}]" for inode in listening} & inodes


def test_no_memory_outlives_a_server_that_is_killed(home: Home) -> None:
    with postgres(home):
        running = clusters.running(cluster_of(home))
        assert running is not None
        mapped = Path(f"/proc/{running.pid}/maps").read_text()

    assert "/dev/shm/PostgreSQL." not in mapped


def test_two_homes_side_by_side_are_two_servers(home: Home) -> None:
    with (
        open_folder() as folder,
        made_home(folder) as other,
        postgres(home) as url,
        postgres(other) as other_url,
    ):
        assert url != other_url
        assert probe.answers(url)
        assert probe.answers(other_url)
        assert clusters.running(cluster_of(home)) != clusters.running(cluster_of(other))


def test_a_server_without_a_free_connection_is_not_stopped(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clusters.RUNNING_S, probe.ServerState.BUSY, 0.2)
    with postgres(home) as url, ExitStack() as held:
        server = clusters.running(cluster_of(home))
        first = held.enter_context(psycopg.connect(url))
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(url))

        with pytest.raises(Retry, match="accepts no connection"), postgres(home):
            pytest.fail("it was used")

        assert clusters.running(cluster_of(home)) == server
        assert first.execute("SELECT 1").fetchone() == (1,)
