"""Rows of certificates for many callers: they share statements, and nothing else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.model.states import GrantStatus
from reconciler.errors import Retry
from reconciler.store.authority import AT_ONCE, AuthorityRows
from reconciler.store.connection.reader import DEADLINE_S, Reader
from tests.support.gateways.certified import certify
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = ("beta-tasks", "beta-events", "beta-users")
CALLERS = 20


class Gate(Reader):
    """A reader whose rows are read at once, and handed over when it is open."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "test")
        self.open = asyncio.Event()
        self.deadlines_s: list[float] = []
        self.read = asyncio.Semaphore(0)  # a place for each statement whose rows are read

    async def rows(
        self, statement: str, *values: str, deadline_s: float | None = None
    ) -> list[tuple[Any, ...]]:
        assert deadline_s is not None
        self.deadlines_s.append(deadline_s)
        rows = await super().rows(statement, *values, deadline_s=deadline_s)
        self.read.release()
        await self.open.wait()
        return rows


@pytest.fixture
def certified(database_url: str) -> tuple[Rows, dict[str, str]]:
    """Return rows and, by the name of its grant, the serial of a certificate."""
    rows = Rows(database_url)
    rows.apply(peer_manifest(), *map(grant_manifest, NAMES))
    return rows, {name: certify(rows, name).serial for name in NAMES}


@asynccontextmanager
async def gate(url: str) -> AsyncIterator[Gate]:
    made = Gate(url)
    yield made
    await made.close()


async def busy(rows: AuthorityRows, reader: Gate, serial: str) -> list[asyncio.Task[Any]]:
    """Start calls that take up every statement, and return them once their rows are read."""
    calls = []
    for _ in range(AT_ONCE):
        calls.append(asyncio.create_task(rows.read(serial)))
        await reader.read.acquire()
    return calls


def test_each_of_many_callers_gets_its_own_row(certified: tuple[Rows, dict[str, str]]) -> None:
    rows, serials = certified

    async def ask() -> tuple[list[str | None], int]:
        async with gate(rows.url) as reader:
            reader.open.set()
            shared = AuthorityRows(reader)
            wanted = [*serials.values(), "0"] * CALLERS
            readings = await asyncio.gather(*map(shared.read, wanted))
            names = [each.facts.grant_name if each else None for each in readings]
            return names, len(reader.deadlines_s)

    names, statements = asyncio.run(ask())
    assert names == [*NAMES, None] * CALLERS
    assert statements <= AT_ONCE


def test_a_suspension_counts_for_whoever_asks_after_it(
    certified: tuple[Rows, dict[str, str]],
) -> None:
    rows, serials = certified
    serial = serials["beta-tasks"]

    async def ask() -> list[GrantStatus]:
        async with gate(rows.url) as reader:
            shared = AuthorityRows(reader)
            before = await busy(shared, reader, serial)
            rows.apply(peer_manifest(), grant_manifest("beta-tasks", suspended="true"))
            after = asyncio.create_task(shared.read(serial))
            await asyncio.sleep(0)
            reader.open.set()
            readings = await asyncio.gather(*before, after)
            return [each.facts.grant_status for each in readings]

    assert asyncio.run(ask()) == [GrantStatus.ACTIVE] * AT_ONCE + [GrantStatus.SUSPENDED]


def test_a_caller_that_is_gone_takes_no_answer_from_others(
    certified: tuple[Rows, dict[str, str]],
) -> None:
    rows, serials = certified

    async def ask() -> str:
        async with gate(rows.url) as reader:
            shared = AuthorityRows(reader)
            gone = asyncio.create_task(shared.read(serials["beta-tasks"]))
            stays = asyncio.create_task(shared.read(serials["beta-events"]))
            await asyncio.sleep(0)
            gone.cancel()
            reader.open.set()
            reading = await stays
            assert reading is not None
            return reading.facts.grant_name

    assert asyncio.run(ask()) == "beta-events"


def test_an_outage_is_told_to_every_caller_and_the_next_one_is_answered(
    certified: tuple[Rows, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, serials = certified

    async def away(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise Retry("database_unavailable", "away")

    async def ask() -> list[object]:
        async with gate(rows.url) as reader:
            reader.open.set()
            shared = AuthorityRows(reader)
            with monkeypatch.context() as patch:
                patch.setattr(reader, "rows", away)
                failed = await asyncio.gather(
                    *(shared.read(each) for each in serials.values()), return_exceptions=True
                )
            assert await shared.read(serials["beta-tasks"]) is not None
            return [getattr(each, "code", each) for each in failed]

    assert asyncio.run(ask()) == ["database_unavailable"] * len(NAMES)


def test_no_caller_waits_longer_for_those_before_it(
    certified: tuple[Rows, dict[str, str]],
) -> None:
    rows, serials = certified

    async def ask() -> tuple[float, float]:
        async with gate(rows.url) as reader:
            shared = AuthorityRows(reader)
            before = await busy(shared, reader, serials["beta-tasks"])
            began_s = asyncio.get_running_loop().time()
            calls = [asyncio.create_task(shared.read(each)) for each in serials.values()]
            await asyncio.sleep(0.05)
            reader.open.set()
            await asyncio.gather(*before, *calls)
            return began_s, reader.deadlines_s[AT_ONCE]

    began_s, deadline_s = asyncio.run(ask())
    assert 0 <= deadline_s - began_s - DEADLINE_S < 0.05
