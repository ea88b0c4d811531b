"""Commands as processes beside one another: at once, interrupted, and told to stop."""

from __future__ import annotations

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.store.locks import locked
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, Ended, write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

WAITING: Final = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), a=grant_manifest("a"))
    return made


def start(mosaic: Quick, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=mosaic.cwd,
        env=mosaic.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def failure(mosaic: Quick) -> object:
    """What fails of the loop, as `status` tells it."""
    return mosaic.document("status")["reconcilers"][0]["failure"]


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=PATIENCE_S)
    return Ended(process.returncode, out, err)


def test_of_applies_at_once_one_acts_and_the_others_find_nothing_to_do(mosaic: Quick) -> None:
    with ThreadPoolExecutor() as pool:
        applying = [pool.submit(mosaic.process, "apply", "--yes") for _ in range(3)]
    done = [each.result() for each in applying]
    assert [each.code for each in done] == [0, 0, 0]
    last = sorted(each.out.splitlines()[-1] for each in done)
    assert last[1:] == ["Nothing to do.", "Nothing to do."]
    assert last[0].startswith("Applied: 2 added")
    assert mosaic.rows.one("SELECT count(*) FROM federation_reconcile_runs") == 1


def test_an_apply_that_is_interrupted_while_it_waits_changes_nothing(mosaic: Quick) -> None:
    with locked(mosaic.rows.database, timedelta(seconds=5)):
        process = start(mosaic, "apply", "--yes", "--output", "json")
        wait_until(lambda: mosaic.rows.rows(WAITING), "it waits for the lock")
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert (done.code, done.out, done.error["code"]) == (130, "", "interrupted")
    assert mosaic.document("grant", "list") == []


def test_the_loop_applies_what_is_there_and_what_changes_until_it_is_told_to_stop(
    mosaic: Quick,
) -> None:
    process = start(mosaic, "run", "--poll", "1h")  # so no timer comes to help
    try:
        wait_until(lambda: mosaic.statuses() == {"a": "pending"}, "what is there")
        write(mosaic.cwd / "manifests", b=grant_manifest("b"))
        wait_until(lambda: mosaic.statuses() == {"a": "pending", "b": "pending"}, "the change")
        write(mosaic.cwd / "manifests", b="kind: Nothing\n")
        wait_until(lambda: failure(mosaic), "a pass that fails")
        assert mosaic.statuses() == {"a": "pending", "b": "pending"}
        (mosaic.cwd / "manifests" / "b.yaml").unlink()
        wait_until(lambda: mosaic.statuses() == {"a": "pending", "b": "revoked"}, "its removal")
    finally:
        process.send_signal(signal.SIGTERM)
        done = ended(process)
    assert done.code == 0, done.err
    assert "nothing is applied" in done.err
    assert "Traceback" not in done.err
