"""The loop: what starts a pass, and what a pass that fails leaves behind."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.loops.jobs import run_jobs
from reconciler.loops.run import GIT_BACKOFF, After, Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.db import Database
from tests.support.database.loop import while_running
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.ports import free_port
from tests.support.repositories.repository import Checkout
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout.make(
        tmp_path / "repository", beta=peer_manifest(), grant=grant_manifest("beta-tasks")
    )


def git_loop(url: str, checkout: Checkout, every: float = 0.2) -> Loop:
    source = SourceSetting(checkout.url, "main", "manifests", cache=str(checkout.path.parent / "c"))
    return Loop(Database(url, "tests"), Triggers(source, timedelta(seconds=every)), "loop:tests")


def test_a_repository_is_polled_and_what_is_pushed_is_applied(
    mosaic: Quick, checkout: Checkout, database_url: str
) -> None:
    def story() -> None:
        wait_until(lambda: mosaic.statuses() == {"beta-tasks": "pending"}, "the grant")
        checkout.write(more=grant_manifest("beta-notes"))
        checkout.commit("more")
        wait_until(lambda: "beta-notes" in mosaic.statuses(), "what was pushed")

    while_running(git_loop(database_url, checkout), story)
    assert mosaic.document("status")["applied"]["subject"] == "more"


def test_a_push_starts_a_pass_long_before_the_timer(
    mosaic: Quick, checkout: Checkout, tmp_path: Path
) -> None:
    secret = secrets.token_hex(32)
    (tmp_path / "secret").write_text(secret)
    port = free_port()
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
        wait_until(lambda: mosaic.statuses() == {"beta-tasks": "pending"}, "the grant")
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
        wait_until(lambda: "beta-notes" in mosaic.statuses(), "what was pushed")
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_S) == 0
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
    (result,) = mosaic.document("status")["reconcilers"]
    assert result["failure"]["code"] == "source_unavailable"
    assert result["revision"], "what it read last"
    assert mosaic.statuses() == {"beta-tasks": "pending"}
    since = result["failure"]["since"]
    loop.one_pass()
    (result,) = mosaic.document("status")["reconcilers"]
    assert result["failure"]["since"] == since

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
    assert "failing since" in mosaic.ok("status").out


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


def test_what_ends_does_so_by_its_own_timer_however_seldom_the_passes_are(
    mosaic: Quick, checkout: Checkout, database_url: str
) -> None:
    loop = git_loop(database_url, checkout, every=600)
    loop.one_pass()
    mosaic.enroll("beta-tasks")
    mosaic.rows.run("UPDATE federation_grants SET expires_at = now() - interval '1 second'")
    checkout.path.rename(checkout.path.with_name("moved"))

    async def run() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(run_jobs([loop.expiry()], stop))
        await asyncio.to_thread(wait_until, expired, "the end")
        stop.set()
        await running

    def expired() -> bool:
        return bool(mosaic.rows.one("SELECT status FROM federation_grants") == "expired")

    asyncio.run(run())
    assert mosaic.rows.one("SELECT status::text FROM federation_certificates") == "revoking"


def test_a_defect_in_a_pass_is_told_and_tried_again(
    mosaic: Quick, checkout: Checkout, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = git_loop(database_url, checkout)

    def broken(*_args: object, **_kwargs: object) -> None:
        raise KeyError("a secret")

    with monkeypatch.context() as patch:
        patch.setattr("reconciler.loops.run.read", broken)
        assert loop.one_pass() is After.RETRY
    (result,) = mosaic.document("status")["reconcilers"]
    assert result["failure"]["code"] == "internal"
    assert "a secret" not in str(result)
    assert loop.one_pass() is After.WAIT


def test_a_full_disk_is_told_as_one_and_tried_again(
    mosaic: Quick, checkout: Checkout, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = git_loop(database_url, checkout)

    def full(*_args: object, **_kwargs: object) -> None:
        Path("/dev/full").write_bytes(b"x")

    with monkeypatch.context() as patch:
        patch.setattr("reconciler.loops.run.read", full)
        assert loop.one_pass() is After.RETRY
    (result,) = mosaic.document("status")["reconcilers"]
    assert result["failure"]["message"] == "No space left on device"
    assert result["waiting"]["for"] == "retry"
    assert loop.one_pass() is After.WAIT


def test_a_webhook_needs_a_repository_and_a_secret_that_can_be_one(
    mosaic: Quick, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    hook = ("run", "--webhook", "127.0.0.1:9443", "--webhook-secret-file", str(secret))
    for text, why in (("short", "has 5 octets"), ("whsec_not base64 at all", "no base64 key")):
        secret.write_text(text)
        refused = mosaic(*hook)
        assert refused.code == 78
        assert why in refused.err
        assert text not in refused.err
    secret.write_text("0123456789abcdef")
    refused = mosaic(*hook)
    assert refused.code == 78
    assert "--webhook needs a git repository" in refused.err


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
    waits = [GIT_BACKOFF.wait(failures) for failures in range(12)]
    assert waits[0] == GIT_BACKOFF.first
    assert waits[1] == 2 * GIT_BACKOFF.first
    assert waits[-1] == GIT_BACKOFF.last
    assert GIT_BACKOFF.wait(0, 1.0) == GIT_BACKOFF.first / 2
