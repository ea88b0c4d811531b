"""Checkpoints that a gateway takes by itself: at its start, if one is due, and at its end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.audit.checkpoint import Checkpoint
from reconciler.loops import jobs
from reconciler.loops.checkpoints import Checkpoints
from tests.support.commands.audit_log import TAMPERED, following, newest
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

HOOK = """
import os, sys
settings = sorted(name for name in os.environ if name.startswith("MOSAIC_"))
open(sys.argv[1], "a").write(sys.stdin.read() + f"# {settings}\\n")
"""


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), one=grant_manifest("one"))
    made.ok("apply", "manifests", "--yes")
    return made


def checkpoints(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [json.loads(each.read_text()) for each in files]


def test_a_loop_writes_one_at_its_start_and_one_at_its_end_that_verify(mosaic: Quick) -> None:
    mosaic.variables["MOSAIC_CHECKPOINT_DIR"] = "checkpoints"
    folder = mosaic.cwd / "checkpoints"
    with following(mosaic, "run") as started:
        wait_until(lambda: checkpoints(folder), "the first checkpoint")
        mosaic.ok("grant", "suspend", "one")
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0
    first, last = checkpoints(folder)
    assert last["seq"] == newest(mosaic) == first["seq"] + 1
    files = sorted(folder.iterdir())
    named = [word for each in files for word in ("--checkpoint", str(each))]
    verified = mosaic.ok("audit", "verify", *named, "-o", "json").document
    assert [each["seq"] for each in verified["checkpoints"]] == [first["seq"], last["seq"]]
    shown = mosaic.document("status")["checkpoint"]
    assert (shown["seq"], shown["file"]) == (last["seq"], str(files[-1]))
    assert str(files[-1]) in mosaic.ok("status").out
    content = [each.read_bytes() for each in files]

    with following(mosaic, "run") as started:  # a day has not passed, and nothing is new
        started.wait_for("source ")
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0
    assert [each.read_bytes() for each in sorted(folder.iterdir())] == content


def test_a_command_gets_each_on_its_input_and_none_of_the_settings(mosaic: Quick) -> None:
    (mosaic.cwd / "hook.py").write_text(HOOK)
    out = mosaic.cwd / "out"
    mosaic.variables["MOSAIC_CHECKPOINT_EXEC"] = f"{sys.executable} hook.py {out}"
    with following(mosaic, "run") as started:
        wait_until(out.is_file, "the command has run")
        wait_until(lambda: out.read_text().endswith("\n"), "it has written all")
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0
    text, settings = out.read_text().splitlines()[:2]
    assert Checkpoint.parse(f"{text}\n".encode()).seq == newest(mosaic)
    assert settings == "# ['MOSAIC_CHECKPOINT_SEQ']"


def test_a_log_that_does_not_verify_gets_none_and_its_break_is_logged(mosaic: Quick) -> None:
    seq = newest(mosaic)
    mosaic.rows.tamper(TAMPERED, seq=seq)
    mosaic.variables["MOSAIC_CHECKPOINT_DIR"] = "checkpoints"
    with following(mosaic, "run", "--log-format", "json") as started:
        line = json.loads(started.wait_for("the audit log breaks"))
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0
    assert (line["level"], line["code"]) == ("warning", "audit_broken")
    assert f"at seq {seq}:" in line["msg"]
    assert checkpoints(mosaic.cwd / "checkpoints") == []


def test_a_command_that_runs_at_the_end_is_ended_before_the_last_one_begins(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not keep the process, which waits for its threads, from ending."""
    monkeypatch.setattr(jobs, "GRACE_S", 0.2)
    cwd = mosaic.cwd
    script = (
        f"cd {cwd}; [ -e pid ] && kill -0 $(cat pid) && touch beside; echo $$ > pid; touch begun;"
        " until test -e may-end; do sleep 0.05; done"
    )
    job = Checkpoints(mosaic.rows.database, None, ("sh", "-c", script))
    job.bounds = replace(job.bounds, seconds=3600)

    async def run() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(job.run(stop))
        await asyncio.to_thread(wait_until, (cwd / "begun").exists, "the command runs")
        stop.set()
        await running

    ending = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    ending.start()
    ending.join(PATIENCE_S)
    ended = not ending.is_alive()
    (cwd / "may-end").touch()
    assert ended
    assert not (cwd / "beside").exists()
