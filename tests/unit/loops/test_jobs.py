"""Jobs that run again and again: a failure is told once when it begins, once when it is over."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.errors import Retry
from reconciler.loops import jobs
from reconciler.loops.jobs import Job, run_jobs

if TYPE_CHECKING:
    import pytest


def test_a_failure_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    away = Retry("ca_unavailable", "the CA is away")
    outcomes: list[Exception | None] = [away, away, away, None, KeyError("a"), None, None]

    async def run() -> None:
        stop = asyncio.Event()

        async def work() -> None:
            outcome = outcomes.pop(0)
            if not outcomes:
                stop.set()
            if outcome is not None:
                raise outcome

        await run_jobs([Job("revocations", timedelta(milliseconds=1), work)], stop)

    with caplog.at_level(logging.INFO, "reconciler.loops.jobs"):
        asyncio.run(run())
    assert caplog.messages == [
        "revocations: the CA is away; trying again",
        "revocations: recovered",
        "revocations: failed with an internal error",
        "revocations: KeyError, an internal error; trying again",
        "revocations: recovered",
    ]


def test_a_job_with_more_to_do_runs_again_at_once_and_ends_when_it_is_stopped() -> None:
    runs: list[int] = []

    async def story() -> None:
        stop = asyncio.Event()

        async def batch() -> bool:
            runs.append(len(runs))
            if len(runs) == 5:
                stop.set()
            return True

        await run_jobs([Job("batches", timedelta(hours=1), batch)], stop)

    asyncio.run(story())
    assert len(runs) == 5


def test_a_run_that_does_not_end_is_cut_off_and_one_that_ends_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jobs, "GRACE_S", 0.2)
    stop, ended = asyncio.Event(), list[str]()

    async def hang() -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cut off")

    async def finish() -> None:
        await stop.wait()
        await asyncio.sleep(0)
        ended.append("finished")

    each = timedelta(hours=1)
    asyncio.run(run_jobs([Job("hangs", each, hang), Job("finishes", each, finish)], stop))

    assert ended == ["finished", "cut off"]
    assert not caplog.records
