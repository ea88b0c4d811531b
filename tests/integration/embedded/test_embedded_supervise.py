"""What `up` and `serve` keep running: ended for sure, shared with commands, with backoff.

Tests of `up` as a process are in tests/e2e/test_lifecycle.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.embedded import processes, supervise
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.home_server import cluster_of, postgres
from reconciler.embedded.stepca import process as stepca
from reconciler.embedded.stepca.process import StepCa
from reconciler.embedded.supervise import supervised
from reconciler.errors import Refused, Retry
from reconciler.store.connection import probe
from tests.support.gateways.home import made_home, open_folder
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config.home import Home
    from reconciler.embedded.processes import Identity


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """Give one home to all: each test leaves it as it found it."""
    with open_folder() as folder, made_home(folder) as made:
        yield made


def children(home: Home) -> list[Identity]:
    """Return what runs of a home: its PostgreSQL, then its step-ca."""
    server = clusters.running(cluster_of(home))
    return [*([server] if server else []), *processes.working_in(home.ca, "step-ca")]


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
            assert await asyncio.to_thread(restarting.wait, PATIENCE_S)

    spawn = processes.spawn
    asyncio.run(end_in_the_middle())

    assert children(home) == []


def test_a_command_at_work_keeps_the_server_when_the_gateway_ends(home: Home) -> None:
    async def begin_and_end() -> None:
        async with supervised(home, lambda: False):
            assert len(children(home)) == 2

    with postgres(home) as url:
        asyncio.run(begin_and_end())
        assert probe.answers(url)
    assert children(home) == []


def test_a_signal_during_the_start_ends_the_wait(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin() -> None:
        async with supervised(home, signalled.is_set):
            pytest.fail("it began")

    signalled = threading.Event()
    monkeypatch.setattr(stepca, "READY_S", 10 * PATIENCE_S)

    def answers(_self: StepCa) -> bool:
        signalled.set()  # it is started, and does not answer yet
        return False

    monkeypatch.setattr(StepCa, "answers", answers)
    began = time.monotonic()
    with pytest.raises(Retry, match="step-ca did not start"):
        asyncio.run(begin())

    assert time.monotonic() - began < stepca.READY_S, "it did not wait for its deadline"
    assert children(home) == []


def test_only_one_gateway_runs_a_home(home: Home) -> None:
    async def two() -> None:
        async with supervised(home, lambda: False):
            with pytest.raises(Refused, match=f"already \\(pid {os.getpid()}\\)"):
                await supervised(home, lambda: False).__aenter__()
            assert len(children(home)) == 2

    asyncio.run(two())


def test_a_child_that_dies_again_and_again_is_restarted_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[float] = []

    async def watch() -> None:
        def start() -> None:
            started.append(time.monotonic())

        keeping = asyncio.create_task(supervise._keep("it", lambda: False, start))
        await asyncio.to_thread(wait_until, lambda: len(started) == 3, "three starts")
        keeping.cancel()

    monkeypatch.setattr(supervise, "LOOK_EVERY_S", 0.01)
    asyncio.run(watch())

    assert started[1] - started[0] >= 1
    assert started[2] - started[1] >= 2
