"""The loop: what starts a pass, what a pass that fails leaves behind, and two of them at once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.core.values import SourceSetting
from reconciler.loops.run import LONGEST_RETRY, RETRY_EVERY, After, Loop, retry_after
from reconciler.loops.triggers import Triggers
from reconciler.store.tx import Database
from tests.support.cli import Quick, shell
from tests.support.enrolling import Rows, grant_manifest, peer_manifest
from tests.support.repositories import Checkout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    return shell(tmp_path, database_url)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout.make(
        tmp_path / "repository", beta=peer_manifest(), grant=grant_manifest("beta-tasks")
    )


def git_loop(url: str, checkout: Checkout, every: float = 0.2) -> Loop:
    source = SourceSetting(checkout.url, "main", "manifests", cache=str(checkout.path.parent / "c"))
    return Loop(Database(url, "tests"), Triggers(source, timedelta(seconds=every)), "loop:tests")


def wait_until(holds: Callable[[], bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def while_running(loop: Loop, story: Callable[[], None]) -> None:
    """Run the loop in a thread of its own as long as the story takes."""
    ready: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        ready.append((asyncio.get_running_loop(), stop))
        await loop.run(stop)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        story()
    finally:
        wait_until(lambda: bool(ready))
        ready[0][0].call_soon_threadsafe(ready[0][1].set)
        thread.join(15)
    assert not thread.is_alive()


def test_a_repository_is_polled_and_what_is_pushed_is_applied(
    mosaic: Quick, checkout: Checkout, database_url: str
) -> None:
    def story() -> None:
        wait_until(lambda: mosaic.statuses() == {"beta-tasks": "pending"})
        checkout.write(more=grant_manifest("beta-notes"))
        checkout.commit("more")
        wait_until(lambda: "beta-notes" in mosaic.statuses())

    while_running(git_loop(database_url, checkout), story)
    assert mosaic.document("status")["applied"]["subject"] == "more"


def test_a_push_starts_a_pass_long_before_the_timer(
    mosaic: Quick, checkout: Checkout, tmp_path: Path
) -> None:
    secret = secrets.token_hex(32)
    (tmp_path / "secret").write_text(secret)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ("run", "--poll", "10m", "--webhook", f"127.0.0.1:{port}", "--webhook-secret-file")
    source = {"MOSAIC_SOURCE": checkout.url, "MOSAIC_REF": "main", "MOSAIC_PATH": "manifests"}
    running = subprocess.Popen(
        [sys.executable, "-m", "reconciler.cli.main", "federation", *words, tmp_path / "secret"],
        cwd=tmp_path,
        env=mosaic.environ(source | {"XDG_CACHE_HOME": str(tmp_path / "cache")}),
        stderr=subprocess.PIPE,
    )
    url = f"http://127.0.0.1:{port}/webhook"
    try:
        wait_until(lambda: mosaic.statuses() == {"beta-tasks": "pending"})
        checkout.write(more=grant_manifest("beta-notes"))
        checkout.commit("more")
        body = b'{"ref": "refs/heads/main"}'
        mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        signed = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={mac}"}
        assert httpx.post(url, content=body + b" ", headers=signed).status_code == 401
        assert httpx.post(url, content=body).status_code == 401
        assert httpx.get(url).status_code == 405
        ping = signed | {"X-GitHub-Event": "ping"}
        assert httpx.post(url, content=body, headers=ping).status_code == 204
        assert list(mosaic.statuses()) == ["beta-tasks"]
        assert httpx.post(url, content=body, headers=signed).status_code == 202
        wait_until(lambda: "beta-notes" in mosaic.statuses())
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.communicate()


def test_a_failed_fetch_changes_nothing_and_shows_in_status(
    mosaic: Quick, checkout: Checkout, database_url: str
) -> None:
    loop = git_loop(database_url, checkout)
    assert loop.one_pass() is After.WAIT
    away = checkout.path.with_name("moved")
    checkout.path.rename(away)

    assert loop.one_pass() is After.RETRY, "it is tried again soon"
    (told,) = mosaic.document("status")["reconcilers"]
    assert told["failure"]["code"] == "source_unavailable"
    assert told["revision"], "what it read last"
    assert mosaic.statuses() == {"beta-tasks": "pending"}
    since = told["failure"]["since"]
    loop.one_pass()
    (told,) = mosaic.document("status")["reconcilers"]
    assert told["failure"]["since"] == since

    away.rename(checkout.path)
    assert loop.one_pass() is After.WAIT
    assert mosaic.document("status")["reconcilers"][0]["failure"] is None


def test_an_invalid_manifest_waits_for_a_change(
    mosaic: Quick, checkout: Checkout, database_url: str
) -> None:
    checkout.write(bad="kind: Nonsense\n")
    checkout.commit("bad")
    loop = git_loop(database_url, checkout)
    assert loop.one_pass() is After.WAIT
    assert mosaic.statuses() == {}
    assert "manifest_invalid" in mosaic.ok("status", "--output", "json").out
    assert "fails since" in mosaic.ok("status").out


def test_expiry_goes_on_while_the_source_is_broken_or_the_loop_is_paused(
    mosaic: Quick, checkout: Checkout, database_url: str
) -> None:
    loop = git_loop(database_url, checkout)
    loop.one_pass()
    serial = mosaic.enroll("beta-tasks")
    mosaic.ok("pause", "--reason", "an audit")
    mosaic.rows.run("UPDATE federation_grants SET expires_at = now() - interval '1 second'")
    checkout.write(bad="kind: Nonsense\n")
    checkout.commit("bad")
    loop.one_pass()

    assert mosaic.rows.one("SELECT status::text FROM federation_grants") == "expired"
    waiting = mosaic.rows.rows("SELECT serial, status::text FROM federation_certificates")
    assert waiting == [{"serial": serial, "status": "revoking"}]


def test_a_paused_loop_writes_nothing_until_resume(
    mosaic: Quick, checkout: Checkout, database_url: str
) -> None:
    mosaic.ok("pause", "--reason", "an audit")
    loop = git_loop(database_url, checkout)
    assert loop.one_pass() is After.WAIT
    assert mosaic.statuses() == {}
    assert "an audit" in loop.trouble
    assert mosaic.document("status")["paused"]["reason"] == "an audit"
    assert mosaic.ok("resume").out
    assert mosaic("resume").code == 1
    loop.one_pass()
    assert mosaic.statuses() == {"beta-tasks": "pending"}
    kinds = [each["kind"] for each in mosaic.document("audit", "list")]
    assert [kind for kind in kinds if kind.startswith("reconciler.")] == [
        "reconciler.paused",
        "reconciler.resumed",
    ]


def test_retries_wait_twice_as_long_each_time_and_apart_from_others() -> None:
    waits = [retry_after(failures, 0.0) for failures in range(12)]
    assert waits[0] == RETRY_EVERY
    assert waits[1] == 2 * RETRY_EVERY
    assert waits[-1] == LONGEST_RETRY
    assert retry_after(0, 1.0) == RETRY_EVERY / 2


def stopped(url: str, source: Path, at: str) -> subprocess.Popen[str]:
    """Start a loop that stops itself there; return it once it has stopped."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.stopping", url, str(source), at],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "stopping\n"
    os.waitpid(process.pid, os.WUNTRACED)
    return process


def woken(process: subprocess.Popen[str]) -> list[str]:
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=60)
    return [line for line in out.splitlines() if line.startswith("again")]


def test_a_replica_that_slept_with_an_old_reading_writes_nothing_of_it(
    mosaic: Quick, tmp_path: Path, database_url: str
) -> None:
    source = tmp_path / "manifests"
    source.mkdir()
    (source / "beta.yaml").write_text(peer_manifest())
    sleeper = stopped(database_url, source, "reading")
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
    sleeper = stopped(database_url, source, "holding")
    (source / "grant.yaml").write_text(grant_manifest("beta-tasks"))
    loop = Loop(Database(database_url, "tests"), Triggers(SourceSetting(str(source))), "loop:tests")
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
