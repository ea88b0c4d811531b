"""A gateway keeps the credential of each outbound peer in a folder, and runs the hooks."""

from __future__ import annotations

import asyncio
import shlex
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from reconciler.credentials.folder import hook_due, locked_folder
from reconciler.errors import MosaicError
from reconciler.hook import BOUNDS, run_hook
from reconciler.loops import jobs
from reconciler.release import run_due_hook
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.renew import Renewer
    from tests.support.gateways.holder import Holder


def test_the_job_keeps_a_folder_for_each_peer(holder: Holder) -> None:
    job = holder.keep()
    path = holder.kept / "alpha"
    assert (path / "tls.key").is_file()
    before = (path / "..data").readlink()
    holder.keep(job)
    assert (path / "..data").readlink() == before

    holder.end_grant()
    holder.shell.ok("peer", "show", "alpha", "--refresh")
    holder.keep(job)
    assert list(holder.kept.iterdir()) == []


def test_a_key_is_never_released_beside_the_certificate_of_an_earlier_one(holder: Holder) -> None:
    """Its grant was replaced over there, and the CA is down while it enrolls under the new one."""
    holder.release()
    job = holder.keep()
    first = holder.serial()
    other = grant_manifest("beta-tasks", subject="someone-else")
    holder.alpha.rows.apply(peer_manifest(), other)
    holder.alpha.trouble.refuse = 99
    invitation = holder.alpha.invitation()
    holder.beta.refused(invitation, patience=timedelta())

    refused = holder.release("--output", "json")
    assert (refused.code, refused.error["code"]) == (1, "state_conflict")
    assert "of an earlier key" in refused.error["message"]
    job.writes["alpha"].due_at -= timedelta(hours=1)
    holder.keep(job)
    assert holder.serial() == first
    assert holder.serial(holder.kept / "alpha") == first
    assert job.writes["alpha"].failures == 1

    holder.alpha.trouble.refuse = 0
    holder.beta.join(invitation)
    holder.keep(job)
    second = holder.beta.held().certificate
    assert second is not None
    assert holder.serial(holder.kept / "alpha") == second.serial, "at once, though it had failed"


def test_the_job_removes_the_folder_of_a_peer_that_is_revoked(holder: Holder) -> None:
    job = holder.keep()
    holder.shell.ok("peer", "revoke", "alpha", "--yes")
    holder.keep(job)
    assert list(holder.kept.iterdir()) == []


def test_a_folder_that_cannot_be_removed_holds_up_no_other(
    holder: Holder, caplog: pytest.LogCaptureFixture
) -> None:
    """A name of ours in it is taken by a folder, so the first of the two is not ours to remove."""
    for name in ("aaa", "bbb"):
        with locked_folder(holder.kept / name, name):
            pass
    (holder.kept / "aaa" / "..next").mkdir()
    job = holder.keep()
    holder.keep(job)
    assert sorted(each.name for each in holder.kept.iterdir()) == ["aaa", "alpha"]
    assert caplog.text.count("its credential is not removed: ") == 1

    (holder.kept / "aaa" / "..next").rmdir()
    holder.keep(job)
    assert [each.name for each in holder.kept.iterdir()] == ["alpha"]


def test_a_folder_of_credentials_that_is_a_file_is_told_as_such(holder: Holder) -> None:
    holder.kept.write_text("")
    with pytest.raises(MosaicError, match=r"the credential's folder cannot be used: .*kept"):
        holder.keep()


def test_the_job_tries_a_failing_hook_again_and_status_says_so(holder: Holder) -> None:
    flag = holder.shell.cwd / "works"
    hook = f"test -e {flag}"
    job = holder.keep(hook=hook)
    (trouble,) = holder.shell.document("status")["outbound"]
    assert trouble["peer"] == "alpha"
    assert "test failed (exit status 1)" in trouble["credentialError"]
    attempts = job.hooks["alpha"]
    assert attempts.failures == 1

    flag.touch()
    holder.keep(job, hook=hook)
    assert attempts.failures == 1, "it waits"
    attempts.due_at = attempts.due_at.min.replace(tzinfo=attempts.due_at.tzinfo)
    holder.keep(job, hook=hook)
    assert holder.shell.document("status")["outbound"] == []


def test_a_hook_that_fails_is_tried_with_the_next_credential_at_once(holder: Holder) -> None:
    job = holder.keep(hook="false")
    first = holder.serial(holder.kept / "alpha")
    before = job.hooks["alpha"].tried
    holder.renew()
    holder.keep(job, hook="false")
    assert holder.serial(holder.kept / "alpha") != first
    assert job.hooks["alpha"].tried not in (None, before)
    assert job.hooks["alpha"].failures == 1, "of this one"


def slow_hook(cwd: Path) -> str:
    """Return a command that runs, once it has said so, until it may end."""
    wait = f"touch {cwd / 'begun'}; until test -e {cwd / 'may-end'}; do sleep 0.05; done"
    return shlex.join(["sh", "-c", f"{wait}; echo >> {cwd / 'ran'}"])


def test_a_hook_that_is_slow_holds_up_no_credential(holder: Holder) -> None:
    """While it runs, the next credential is written; then the hook is due for that one."""
    path, cwd = holder.kept / "alpha", holder.shell.cwd
    slow = slow_hook(cwd)
    job = holder.keep(hook=slow, run_hooks=False)
    first = holder.serial(path)
    running = threading.Thread(target=run_due_hook, args=(job.releaser, "alpha", path))
    running.start()
    try:
        wait_until((cwd / "begun").exists, "the hook runs")
        holder.renew()
        holder.keep(job, hook=slow, run_hooks=False)
        assert holder.serial(path) != first
    finally:
        (cwd / "may-end").touch()
        running.join()
    holder.keep(job, hook=slow)
    assert (cwd / "ran").read_text() == "\n\n"
    assert hook_due(path) is None


def test_a_folder_that_is_removed_while_its_hook_runs_does_not_come_back(holder: Holder) -> None:
    path, cwd = holder.kept / "alpha", holder.shell.cwd
    job = holder.keep(hook=slow_hook(cwd), run_hooks=False)
    running = threading.Thread(target=run_due_hook, args=(job.releaser, "alpha", path))
    running.start()
    try:
        wait_until((cwd / "begun").exists, "the hook runs")
        holder.shell.ok("peer", "revoke", "alpha", "--yes")
        holder.keep(job, run_hooks=False)
        assert not path.exists()
    finally:
        (cwd / "may-end").touch()
        running.join()
    assert (cwd / "ran").exists()
    assert not path.exists()


def test_a_hook_that_runs_does_not_keep_a_gateway_from_ending(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, and stays due."""
    cwd, path = holder.shell.cwd, holder.kept / "alpha"
    monkeypatch.setattr(jobs, "GRACE_S", 0.2)
    unbounded = replace(BOUNDS, seconds=3600)
    monkeypatch.setattr("reconciler.release.run_hook", partial(run_hook, bounds=unbounded))
    job = holder.keep(hook=slow_hook(cwd), run_hooks=False)

    async def run(renewer: Renewer) -> None:
        job.database, stop = renewer.database, asyncio.Event()
        running = asyncio.create_task(jobs.run_jobs(job.jobs(), stop))
        await asyncio.to_thread(wait_until, (cwd / "begun").exists, "the hook runs")
        stop.set()
        await running

    ending = threading.Thread(target=holder.beta.run_renewal, args=(run,), daemon=True)
    ending.start()
    ending.join(PATIENCE_S)
    ended = not ending.is_alive()
    (cwd / "may-end").touch()
    assert ended
    assert not (cwd / "ran").exists()
    assert hook_due(path) is not None
