"""Notices reach their targets: signed, in order, at least once, whatever the targets do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.clients.http.connections import Timeouts
from reconciler.clients.notices import NoticeSender
from reconciler.core.audit.events import ReconcilerPaused
from reconciler.core.model.backoff import Backoff
from reconciler.core.setting_values import LOOPBACK
from reconciler.loops.notices import Notices
from reconciler.store import ending
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.audit import log as audit
from reconciler.store.notices import targets as store
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.notices import KEY, json_target, sending
from tests.support.ports import free_port
from tests.support.services.receiver import Receiver, receiver
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rows(database_url: str) -> Rows:
    return Rows(database_url)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Receiver]:
    with receiver(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send and try again at once: how long the waits are is no matter of these tests."""
    monkeypatch.setattr("reconciler.loops.notices.SEND_EVERY", timedelta(milliseconds=20))
    wait = Backoff(timedelta(milliseconds=20), timedelta(milliseconds=20))
    monkeypatch.setattr(store, "RETRY", wait)


def state(rows: Rows, name: str = "hook") -> store.TargetState:
    with rows.database.transaction() as tx:
        return next(each for each in store.states(tx) if each.name == name)


def test_an_apply_is_told_signed_and_once(rows: Rows, target: Receiver, tmp_path: Path) -> None:
    with sending(rows.url, json_target(tmp_path, "hook", target)):
        rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
        wait_until(lambda: state(rows).last_success_at, "the notice")
    (request,) = target.received
    assert request.path == "/hooks/hook?key=1"
    identity, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = f"{identity}.{at}.".encode() + request.body
    mac = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{mac}"
    data = request.document["data"]
    assert request.document["type"] == "mosaic.federation.applied"
    assert data["id"] == identity
    assert data["title"] == "Applied: 2 added (1 WIDENS)"
    assert data["items"][0]["subject"] == "grant/beta-tasks"
    assert data["items"][0]["effect"] == "widens"


def test_a_thousand_grants_are_one_notice(rows: Rows, target: Receiver, tmp_path: Path) -> None:
    grants = [grant_manifest(f"grant-{number}") for number in range(1_000)]
    rows.apply(peer_manifest(), *grants)
    with sending(rows.url, json_target(tmp_path, "hook", target)):
        wait_until(lambda: state(rows).last_success_at, "the notice")
    (request,) = target.received
    assert request.document["data"]["count"] == 1_001
    assert len(request.document["data"]["items"]) == 20
    assert len(request.body) < 20_000


def test_what_widens_and_what_narrows_is_said(rows: Rows, target: Receiver, tmp_path: Path) -> None:
    with sending(rows.url, json_target(tmp_path, "hook", target)):
        rows.apply(peer_manifest(), grant_manifest("one"), grant_manifest("two"))
        rows.apply(peer_manifest(), grant_manifest("one", rows=900), grant_manifest("two", rows=9))
        wait_until(lambda: len(target.received) == 2, "two notices")
    data = target.received[1].document["data"]
    assert data["summary"] | {"widens": 1, "narrows": 1, "changed": 2} == data["summary"]
    assert [(each["subject"], each["effect"]) for each in data["items"]] == [
        ("grant/one", "widens"),
        ("grant/two", "narrows"),
    ]
    assert data["items"][0]["text"] == "changed: scope.maxRowsPerQuery 500 -> 900 WIDENS"


@pytest.mark.parametrize("trouble", ["500", "429", "302", "stalled", "endless"])
def test_a_target_in_trouble_gets_every_notice_in_order_once_it_is_well(
    rows: Rows,
    target: Receiver,
    tmp_path: Path,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeouts = Timeouts(connect_s=1, read_s=0.3, total_s=0.5)
    monkeypatch.setattr("reconciler.clients.notices.TIMEOUTS", timeouts)
    if trouble == "stalled":
        target.stalled.set()
    elif trouble == "endless":
        target.answers(503)
        target.endless = True
    else:
        target.answers(int(trouble), Retry_After="0", Location=f"{target.url}/elsewhere")
    with sending(rows.url, json_target(tmp_path, "hook", target)):
        rows.apply(peer_manifest())
        rows.apply(peer_manifest(), grant_manifest("one"))
        wait_until(lambda: state(rows).attempts > 1, "a second attempt")
        assert state(rows).queue == 2
        target.stalled.clear()
        target.endless = False
        failed = len(target.received)
        target.answers(200)
        wait_until(lambda: state(rows).queue == 0, "an empty queue")
    identities = [each.headers["webhook-id"] for each in target.received]
    assert len(set(identities)) == 2
    assert len(set(identities[:failed])) == 1
    bodies = {each.headers["webhook-id"]: each.body for each in target.received}
    assert all(bodies[each.headers["webhook-id"]] == each.body for each in target.received)
    assert {each.path for each in target.received} == {"/hooks/hook?key=1"}
    assert target.titles[-1] == "Applied: 1 added (1 WIDENS)"


def test_a_target_says_when_it_is_to_be_tried_again(
    rows: Rows, target: Receiver, tmp_path: Path
) -> None:
    target.answers(429, Retry_After="1200")
    with sending(rows.url, json_target(tmp_path, "hook", target)):
        rows.apply(peer_manifest())
        wait_until(lambda: state(rows).attempts, "an attempt")
    waits = rows.one("SELECT next_attempt_at - last_error_at FROM federation_notice_targets")
    assert timedelta(seconds=1190) < waits <= timedelta(seconds=1200)
    assert state(rows).last_error == "it answered 429"


def test_a_target_that_is_gone_is_sent_nothing_until_the_gateway_starts_again(
    rows: Rows, target: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hook = json_target(tmp_path, "hook", target)
    with receiver(tmp_path, "other") as other:
        target.answers(410)
        with sending(rows.url, hook, json_target(tmp_path, "other", other)):
            rows.apply(peer_manifest())
            wait_until(lambda: state(rows).disabled, "the end of the target")
            rows.apply(peer_manifest(), grant_manifest("one"))
            wait_until(lambda: len(other.received) == 2, "the notices of another target")
    assert len(target.received) == 1
    assert state(rows).queue == 2
    assert "notices to hook: disabled until `up` or `serve` starts again" in caplog.text
    target.answers(200)
    with sending(rows.url, hook):
        wait_until(lambda: state(rows).queue == 0, "an empty queue")
    assert not state(rows).disabled


def test_a_dead_target_holds_up_no_other(rows: Rows, target: Receiver, tmp_path: Path) -> None:
    with receiver(tmp_path, "dead") as dead:
        broken = json_target(tmp_path, "dead", dead)
    with sending(rows.url, broken, json_target(tmp_path, "hook", target)):
        rows.apply(peer_manifest())
        rows.apply(peer_manifest(), grant_manifest("one"))
        wait_until(lambda: len(target.received) == 2, "both notices")
    assert state(rows, "dead").queue == 2
    assert "cannot be reached" in str(state(rows, "dead").last_error)


def test_a_database_that_is_away_at_the_start_does_not_end_the_sender(
    caplog: pytest.LogCaptureFixture, target: Receiver, tmp_path: Path
) -> None:
    nowhere = AsyncDatabase(f"postgresql://127.0.0.1:{free_port()}/none", "tests", pool_size=1)
    notices = Notices(nowhere, NoticeSender(LOOPBACK), (json_target(tmp_path, "hook", target),))

    async def run() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(notices.run(stop))
        await asyncio.to_thread(wait_until, lambda: "trying again" in caplog.text, "it waits")
        stop.set()
        await running

    asyncio.run(run())


def test_two_replicas_send_each_notice_once_and_in_order(
    rows: Rows, target: Receiver, tmp_path: Path
) -> None:
    hook = json_target(tmp_path, "hook", target)
    names: list[str] = []
    with sending(rows.url, hook), sending(rows.url, hook):
        for number in range(15):
            names.append(f"grant-{number:02}")
            rows.apply(peer_manifest(), *map(grant_manifest, names))
        wait_until(lambda: state(rows).queue == 0, "an empty queue")
    subjects = [each.document["data"]["items"][0]["subject"] for each in target.received]
    assert subjects == [f"grant/{name}" for name in names]


def test_a_notice_of_a_sender_that_was_killed_comes_again_with_its_id(
    rows: Rows, target: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LEASE", timedelta(milliseconds=300))
    hook = json_target(tmp_path, "hook", target)
    with rows.database.transaction() as tx:
        store.register(tx, "hook", "json", hook.events)
    rows.apply(peer_manifest())
    with rows.database.transaction() as tx:  # what a killed process leaves behind
        claimed = store.claim(tx, "hook")
        assert claimed is not None
    with sending(rows.url, hook):
        wait_until(lambda: state(rows).queue == 0, "the notice")
    assert [each.headers["webhook-id"] for each in target.received] == [claimed.id]
    with rows.database.transaction() as tx:  # the killed one's answer comes late
        store.record_failure(tx, claimed, "late", timedelta(hours=1))
    assert state(rows).last_error is None


def test_the_end_of_a_sender_waits_for_no_target_and_loses_nothing(
    rows: Rows, target: Receiver, tmp_path: Path
) -> None:
    target.stalled.set()
    hook = json_target(tmp_path, "hook", target)
    with sending(rows.url, hook):
        rows.apply(peer_manifest())
        wait_until(lambda: target.received, "a request")
    assert state(rows).queue == 1
    target.stalled.clear()
    with sending(rows.url, hook):
        wait_until(lambda: state(rows).queue == 0, "the notice")
    assert len({each.headers["webhook-id"] for each in target.received}) == 1


def test_a_notice_that_is_seven_days_old_is_given_up_and_said(
    rows: Rows, target: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with rows.database.transaction() as tx:
        store.register(tx, "hook", "json", ("applied",))
    rows.apply(peer_manifest())
    rows.apply(peer_manifest(), grant_manifest("one"))
    rows.run("UPDATE federation_notices SET at = at - interval '8 days' WHERE seq = 1")
    with sending(rows.url, json_target(tmp_path, "hook", target, "applied")):
        wait_until(lambda: state(rows).given_up == 1 and target.received, "what is left")
    assert "gave up 1 notice that it did not take within 7 days" in caplog.text
    assert target.titles == ["Applied: 1 added (1 WIDENS)"]
    assert rows.one("SELECT count(*) FROM federation_notices") == 1


UNREADABLE = ("", "[]", '{"data": {"id": "a\\r\\nX: y"}}', "[" * 2000)


def test_a_notice_that_no_part_of_a_gateway_wrote_holds_up_none_behind_it(
    rows: Rows, target: Receiver, tmp_path: Path
) -> None:
    with rows.database.transaction() as tx:
        for document in UNREADABLE:
            seq = audit.append(tx, "user:eve", [ReconcilerPaused("x")])
            tx.run(
                "INSERT INTO federation_notices (seq, id, event, document)"
                " VALUES (:seq, gen_random_uuid(), 'pause', :document)"
                " ON CONFLICT (seq) DO UPDATE SET document = :document",
                seq=seq,
                document=document,
            )
    with sending(rows.url, json_target(tmp_path, "hook", target, "pause", "applied")):
        rows.apply(peer_manifest())
        wait_until(lambda: target.received, "the notice behind them")
    assert target.titles == ["Applied: 1 added"]


def test_a_target_is_told_what_its_filter_names(
    rows: Rows, target: Receiver, tmp_path: Path
) -> None:
    with sending(rows.url, json_target(tmp_path, "hook", target, "revoked")):
        rows.apply(peer_manifest(), grant_manifest("one"))
        with rows.database.transaction() as tx:
            row = tx.one("SELECT id FROM federation_grants")
            audit.append(tx, "user:tests", ending.revoke_grants(tx, [row["id"]], "<!channel> bye"))
        wait_until(lambda: target.received, "the notice")
    assert target.titles == ["Revoked"]
