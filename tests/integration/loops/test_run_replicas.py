"""Loops as processes: one that is told to end, and two of which one is stopped (SIGSTOP)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from reconciler.core.setting_values import SourceSetting
from reconciler.loops.run import After, Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.db import Database
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.commands.in_process import Quick


def test_a_signal_lets_the_transaction_that_is_under_way_end(
    mosaic: Quick, tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "beta.yaml").write_text(peer_manifest())
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ExitStack() as holding:
        tx = holding.enter_context(Database(database_url, "tests").transaction())
        tx.run("SELECT 1 FROM federation_audit_head FOR UPDATE")
        with replica(mosaic, "--log-level", "debug") as running:
            wait_until(lambda: mosaic.rows.one(waiting) > 0, "the head, which it locks last")
            running.send_signal(signal.SIGTERM)
            assert running.stderr is not None
            for line in running.stderr:
                if b"SIGTERM" in line:  # it has been told
                    break
            assert running.poll() is None, "it is in the middle of a transaction"
            holding.close()
            _, result = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, result
    assert mosaic.statuses("peer") == {"beta": "pending"}


def test_of_two_replicas_one_acts_and_the_other_goes_on_when_it_is_gone(
    mosaic: Quick, tmp_path: Path
) -> None:
    source = tmp_path / "manifests"
    source.mkdir()
    (source / "beta.yaml").write_text(peer_manifest())
    with replica(mosaic) as first, replica(mosaic) as second:
        wait_until(lambda: bool(mosaic.statuses("peer")), "the peer")
        (source / "one.yaml").write_text(grant_manifest("one"))
        wait_until(lambda: "one" in mosaic.statuses(), "the first grant")
        first.kill()
        (source / "two.yaml").write_text(grant_manifest("two"))
        wait_until(lambda: "two" in mosaic.statuses(), "the second grant")
        second.send_signal(signal.SIGTERM)
        _, result = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 0, result
    for event in ("peer.created", "grant.created"):
        subjects = [row["subject"] for row in mosaic.rows.audited(event)]
        assert sorted(set(subjects)) == sorted(subjects)
    assert mosaic.rows.one("SELECT count(*) FROM federation_reconcile_runs") == 3


@contextmanager
def replica(mosaic: Quick, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the loop as a process, and end it at last."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler.cli.main", "federation", "run", "--poll", "1h", *words],
        cwd=mosaic.cwd,
        env=mosaic.environ({}),
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def stopped(url: str, source: Path, at: str) -> Iterator[subprocess.Popen[str]]:
    """Start a loop that stops itself there; give it once it has stopped, and end it at last."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.database.stopped_loop", url, str(source), at],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "stopping\n"
        os.waitpid(process.pid, os.WUNTRACED)
        yield process
    finally:
        process.kill()
        process.communicate()


def woken(process: subprocess.Popen[str]) -> list[str]:
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    return [line for line in out.splitlines() if line.startswith("again")]


def test_a_replica_that_slept_with_an_old_reading_writes_nothing_of_it(
    mosaic: Quick, tmp_path: Path, database_url: str
) -> None:
    source = tmp_path / "manifests"
    source.mkdir()
    (source / "beta.yaml").write_text(peer_manifest())
    with stopped(database_url, source, "reading") as sleeper:
        (source / "grant.yaml").write_text(grant_manifest("beta-tasks"))
        mosaic.ok("apply", "--yes")
        (source / "beta.yaml").write_text(
            peer_manifest().replace("name: beta", "name: beta, labels: {since: changed}")
        )
        mosaic.ok("apply", "--yes")
        before = snapshot(mosaic.rows)

        first, second = woken(sleeper)
        assert first.startswith("again again nothing is applied: another apply came after")
        assert second == "again wait "
        assert snapshot(mosaic.rows) == before


def test_a_replica_that_sleeps_with_the_lock_is_survived(
    mosaic: Quick, tmp_path: Path, database_url: str
) -> None:
    source = tmp_path / "manifests"
    source.mkdir()
    (source / "beta.yaml").write_text(peer_manifest())
    with stopped(database_url, source, "holding") as sleeper:
        (source / "grant.yaml").write_text(grant_manifest("beta-tasks"))
        loop = Loop(
            Database(database_url, "tests"), Triggers(SourceSetting(str(source))), "loop:tests"
        )
        assert loop.one_pass() is After.WAIT, (
            "it waited until the server ended the sleeper's transaction"
        )
        assert loop.trouble == ""
        before = snapshot(mosaic.rows)
        assert mosaic.statuses() == {"beta-tasks": "pending"}

        first, second = woken(sleeper)
        assert first.startswith("again retry")
        assert second == "again wait "
        assert snapshot(mosaic.rows) == before


def snapshot(rows: Rows) -> Any:
    return rows.rows(
        "SELECT name, status::text, spec_digest FROM federation_peers UNION ALL"
        " SELECT name, status::text, spec_digest FROM federation_grants ORDER BY 1"
    )
