"""`up` as a process: what dies is started again, what is killed is followed by one that works."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from reconciler.config import load_settings
from reconciler.embedded import cluster as clusters
from reconciler.embedded import processes
from reconciler.embedded.postgres import cluster_of, postgres
from reconciler.embedded.supervise import supervised
from reconciler.store import probe
from tests.support.embedded import made_home, open_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.embedded.home import Home
    from reconciler.embedded.processes import Identity

COMMAND = (sys.executable, "-m", "reconciler.cli.main", "federation")
END_S = 10  # what the design promises for Ctrl-C


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """Give one home to all: each test leaves it as it found it."""
    with open_folder() as folder, made_home(folder) as made:
        yield made


@contextmanager
def up(home: Home) -> Iterator[subprocess.Popen[str]]:
    """Run `up`, ready, until the block ends."""
    environment = {name: text for name, text in os.environ.items() if "MOSAIC" not in name}
    log = home.log_of("up")
    with log.open("w") as errors:
        started = subprocess.Popen(
            [*COMMAND, "up"],
            cwd=home.path.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert started.stdout is not None
    try:
        assert any(line.startswith("ready") for line in started.stdout), log.read_text()
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGINT)
        try:
            started.wait(END_S)
        finally:
            started.kill()
            started.stdout.close()


def is_ready(home: Home) -> bool:
    url = urlsplit(load_settings({"home": str(home.path)}, {}, home.path).public_url or "")
    trust = ssl.create_default_context(cafile=str(home.ca / "root_ca.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", url.port, timeout=5, context=trust)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def children(home: Home) -> list[Identity]:
    """Return what runs of a home: its PostgreSQL, then its step-ca."""
    server = clusters.running(cluster_of(home))
    return [*([server] if server else []), *processes.working_in(home.ca, "step-ca")]


def soon(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.1)
    return False


def test_a_signal_ends_all_of_it_with_0(home: Home) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with up(home) as gateway:
            assert len(children(home)) == 2
            assert is_ready(home)
            began = time.monotonic()
            gateway.send_signal(number)
            assert gateway.wait(END_S) == 0
            assert time.monotonic() - began < END_S
        assert children(home) == []


def test_children_that_are_killed_are_started_again(home: Home) -> None:
    with up(home) as gateway:
        before = children(home)
        for child in before:
            os.kill(child.pid, signal.SIGKILL)

        assert soon(lambda: len(children(home)) == 2 and not {*children(home)} & {*before})
        assert soon(lambda: is_ready(home))
        assert gateway.poll() is None
    assert gateway.returncode == 0
    assert children(home) == []


def test_an_end_in_the_middle_of_a_restart_leaves_nothing_running(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarting = threading.Event()

    def slow(argv: list[Path], **options: Any) -> subprocess.Popen[bytes]:
        restarting.set()
        time.sleep(1)
        return spawn(argv, **options)

    async def end_in_the_middle() -> None:
        async with supervised(home, lambda: False):
            monkeypatch.setattr(processes, "spawn", slow)
            for child in processes.working_in(home.ca, "step-ca"):
                os.kill(child.pid, signal.SIGKILL)
            assert await asyncio.to_thread(restarting.wait, 10)

    spawn = processes.spawn
    asyncio.run(end_in_the_middle())

    assert children(home) == []


@pytest.mark.parametrize("all_of_it", [False, True])
def test_a_killed_up_is_followed_by_one_that_works(home: Home, all_of_it: bool) -> None:
    with up(home) as gateway:
        left = children(home)
        gateway.kill()
        gateway.wait()
        for child in left if all_of_it else ():
            os.kill(child.pid, signal.SIGKILL)

    with up(home):
        assert is_ready(home)
        assert len(children(home)) == 2
        assert left[1] not in children(home)  # it had the CA's database
    assert children(home) == []


def test_a_second_up_is_told_who_is_first(home: Home) -> None:
    with up(home) as gateway:
        second = subprocess.run(
            [*COMMAND, "up"],
            cwd=home.path.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert second.returncode == 1
        assert f"already (pid {gateway.pid})" in second.stderr
        assert "Traceback" not in second.stderr
        assert is_ready(home)


def test_other_commands_share_the_server_of_up_and_leave_it_running(home: Home) -> None:
    with up(home):
        before = children(home)
        with postgres(home) as url:
            assert probe.answers(url)
        assert children(home) == before


def test_a_command_that_is_at_work_keeps_the_server_when_up_ends(home: Home) -> None:
    with postgres(home) as url:
        with up(home):
            pass
        assert probe.answers(url)
    assert children(home) == []
