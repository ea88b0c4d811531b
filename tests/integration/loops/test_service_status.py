"""The watchdog of a service manager is told of work that is alive, and of no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Retry
from reconciler.loops.service_status import Work, report_service
from tests.support.services.service_manager import Manager
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

NOWHERE = "postgresql://mosaic@127.0.0.1:1/mosaic?connect_timeout=1"
LIMIT_S = 0.4


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(made.path))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(LIMIT_S * 1_000_000)))
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield made
    made.close()


def report_until(work: Work, manager: Manager, line: str) -> list[str]:
    """Report of the work until the manager has a line; return all lines of that time."""

    async def run() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        ready.set()
        reporting = asyncio.create_task(report_service(stop, ready, work))
        await asyncio.to_thread(
            wait_until,
            lambda: any(each.startswith(line) for each in manager.received()),
            line,
        )
        stop.set()
        await reporting

    asyncio.run(run())
    return manager.received()


async def works() -> None:
    return None


async def fails() -> None:
    raise Retry("database_unavailable", "no connection of the pool was free")


async def hangs() -> None:
    await asyncio.Event().wait()


def test_work_that_is_alive_feeds_the_watchdog(manager: Manager, database_url: str) -> None:
    lines = report_until(Work(database_url, (works, works)), manager, "WATCHDOG=1")
    assert lines[:2] == ["READY=1", "STATUS=ready"]
    assert lines[-2:] == ["STOPPING=1", "STATUS=stopping"]


@pytest.mark.parametrize(
    ("check", "reason"),
    [(fails, "no connection of the pool was free"), (hangs, "no answer within 0.2 s")],
)
def test_work_that_hangs_while_the_database_answers_does_not(
    check: Callable[[], Awaitable[None]], reason: str, manager: Manager, database_url: str
) -> None:
    work = Work(database_url, (works, check))
    lines = report_until(work, manager, f"STATUS=the work hangs: {reason}")
    assert "WATCHDOG=1" not in lines
    assert "STOPPING=1" in lines, "and the end is not held up"


@pytest.mark.parametrize("check", [fails, hangs])
def test_a_database_that_is_down_is_an_outage_and_no_hang(
    check: Callable[[], Awaitable[None]], manager: Manager
) -> None:
    work = Work(NOWHERE, (check,))
    lines = report_until(work, manager, "STATUS=the database is unavailable")
    assert "WATCHDOG=1" in lines


def test_a_service_that_is_stopped_before_it_is_ready_was_never_ready(manager: Manager) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        work = Work(NOWHERE, (works,))
        reporting = asyncio.create_task(report_service(stop, asyncio.Event(), work))
        await asyncio.sleep(0)
        stop.set()
        await reporting

    asyncio.run(run())
    assert manager.received() == ["STOPPING=1", "STATUS=stopping"]
