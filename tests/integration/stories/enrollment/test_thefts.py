"""A secret that comes with another key: seen at once, counted as it repeats, shown until then."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.store import holds
from reconciler.store.issuance import thefts
from reconciler.store.locks import locked
from tests.support.commands.in_process import Quick
from tests.support.gateways.enrollee import Enrollee, Rows, grant_manifest, peer_manifest
from tests.support.gateways.web_server import Parts, serving
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from reconciler.core.issuance.tokens import Token

HOUR_AGO = "UPDATE federation_theft_signals SET first_at = first_at - interval '61 minutes'"


@pytest.fixture
def mosaic(tmp_path: Path, rows: Rows) -> Quick:
    return Quick(tmp_path, {"MOSAIC_DATABASE_URL": rows.url})


@pytest.fixture
def spent(client: httpx.Client, rows: Rows) -> Token:
    """A token that its peer has used."""
    token = rows.invite("beta-tasks")
    assert Enrollee().enroll(client, token).status_code == 201
    return token


def replay(client: httpx.Client, token: Token, times: int = 1) -> None:
    for _ in range(times):
        assert Enrollee().enroll(client, token).status_code == 410


def record_due(rows: Rows) -> None:
    with rows.database.transaction() as tx:
        thefts.record_due(tx, "worker:tests")


def data(rows: Rows, kind: str) -> list[dict[str, Any]]:
    return [json.loads(row["body"])["data"] for row in rows.audited(kind)]


def test_the_first_is_a_record_and_a_warning_and_repeats_are_one_record_a_minute(
    client: httpx.Client, rows: Rows, spent: Token, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    newest = rows.one("SELECT max(seq) FROM federation_audit_log")

    replay(client, spent, 30)

    (first,) = data(rows, "theft.suspected")
    assert (first["token"], first["code"]) == (spent.public_id, "token_spent")
    assert rows.one("SELECT max(seq) FROM federation_audit_log") == newest + 1
    warnings = [each.getMessage() for each in caplog.records if "theft suspected" in each.message]
    assert len(warnings) == 1
    assert f"audit ack {newest + 1}" in warnings[0]
    assert "grant/beta-tasks" in warnings[0]
    record_due(rows)
    replay(client, spent, 5)
    record_due(rows)  # within a minute of the one before
    assert [[each["count"] for each in one["repeats"]] for one in data(rows, "theft.repeated")] == [
        [29]
    ]
    rows.run("UPDATE federation_theft_signals SET counted_at = counted_at - interval '1 minute'")
    record_due(rows)
    (repeat,) = data(rows, "theft.repeated")[-1]["repeats"]
    assert repeat == {
        "seq": newest + 1,
        "grant": "beta-tasks",
        "secret": f"token/{spent.public_id}",
        "count": 5,
    }


def test_an_hour_later_it_is_a_first_one_again(
    client: httpx.Client, rows: Rows, spent: Token
) -> None:
    replay(client, spent, 2)
    rows.run(HOUR_AGO)
    replay(client, spent, 2)
    assert len(data(rows, "theft.suspected")) == 2
    assert rows.rows("SELECT repeats FROM federation_theft_signals") == [{"repeats": 1}] * 2


def test_a_superseded_key_and_a_second_successor_are_signals_of_their_certificates(
    client: httpx.Client, rows: Rows
) -> None:
    old = Enrollee()
    first = old.enroll(client, rows.invite("beta-tasks")).json()["serial"]
    peer = Enrollee()
    second = peer.enroll(client, rows.invite("beta-tasks")).json()["serial"]
    for _ in range(3):
        assert old.renew(client, Enrollee()).status_code == 401
    with rows.certificates_due():
        assert peer.renew(client, Enrollee()).status_code == 201
        for _ in range(3):
            assert peer.renew(client, Enrollee()).json()["code"] == "renewal_contested"
    assert [each["certificate"] for each in data(rows, "theft.suspected")] == [first, second]
    assert Enrollee().renew(client, Enrollee()).status_code == 401
    assert rows.one("SELECT count(*) FROM federation_theft_signals") == 2, "that key is nobody's"


def test_many_secrets_at_once_are_recorded_no_faster_than_one_a_second_and_none_is_lost(
    client: httpx.Client, rows: Rows, parts: Parts
) -> None:
    names = [f"grant-{number}" for number in range(10)]
    rows.apply(peer_manifest(), *map(grant_manifest, names))
    tokens = [rows.invite(name) for name in names]
    for token in tokens:
        assert Enrollee().enroll(client, token).status_code == 201
    with serving(parts) as running, running.client() as other:
        for number, token in enumerate(tokens):
            replay([client, other][number % 2], token)

    assert len(data(rows, "theft.suspected")) < 10
    assert rows.one("SELECT count(*) FROM federation_theft_signals") == 10
    for _ in range(3):
        record_due(rows)
        rows.run("UPDATE federation_theft_signals SET recorded_at = recorded_at - interval '10 s'")
    assert {each["token"] for each in data(rows, "theft.suspected")} == {
        each.public_id for each in tokens
    }
    window = "SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY recorded_at RANGE BETWEEN"
    window += " interval '9 seconds' PRECEDING AND CURRENT ROW) AS n FROM federation_theft_signals"
    assert rows.one(f"{window}) AS counted") <= thefts.MAX_RECORDS


def test_status_and_doctor_show_it_until_it_is_acknowledged(
    client: httpx.Client, rows: Rows, spent: Token, mosaic: Quick
) -> None:
    assert mosaic.document("status")["theftSignals"] == []
    replay(client, spent, 4)

    (signal,) = mosaic.document("status")["theftSignals"]
    seq = signal.pop("seq")
    assert signal.pop("firstAt") < signal.pop("lastAt")
    assert signal == {
        "grant": "beta-tasks",
        "secret": f"token/{spent.public_id}",
        "code": "token_spent",
        "address": "127.0.0.1",
        "repeats": 3,
    }
    shown = mosaic.ok("status").out
    assert f"grant/beta-tasks: token/{spent.public_id} was used with another key" in shown
    assert "3 more times" in shown
    assert f"mosaic federation audit ack {seq}" in shown
    findings = mosaic("doctor", "--output", "json").document
    assert [each["state"] for each in findings if each["check"] == "theft"] == ["warning"]

    assert "acknowledged" in mosaic.ok("audit", "ack", str(seq)).out
    assert "already" in mosaic.ok("audit", "ack", str(seq)).out
    assert data(rows, "theft.acknowledged")[0]["record"] == seq
    assert len(data(rows, "theft.acknowledged")) == 1
    assert mosaic.document("status")["theftSignals"] == []
    assert "theft?" not in mosaic.ok("status").out
    findings = mosaic("doctor", "--output", "json").document
    assert [each["state"] for each in findings if each["check"] == "theft"] == ["ok"]
    replay(client, spent)
    assert mosaic.document("status")["theftSignals"] == [], "within the hour it is known"
    rows.run(HOUR_AGO)
    replay(client, spent)
    assert len(mosaic.document("status")["theftSignals"]) == 1


def test_what_is_no_signal_is_not_acknowledged(mosaic: Quick) -> None:
    absent = mosaic("audit", "ack", "99999")
    assert (absent.code, "has no record 99999" in absent.err) == (1, True)
    other = mosaic("audit", "ack", "1")
    assert (other.code, "'peer.created', which waits for no" in other.err) == (1, True)
    assert mosaic("audit", "ack", "first").code == 64
    assert mosaic("audit", "ack", "0").code == 64


def test_a_setting_suspends_the_grant_at_the_first_signal_until_a_person_resumes_it(
    rows: Rows, parts: Parts
) -> None:
    token, peer = rows.invite("beta-tasks"), Enrollee()
    suspending = replace(parts, suspend_on_theft=True)
    with serving(suspending) as running, running.client() as client:
        assert peer.enroll(client, token).status_code == 201
        replay(client, token, 3)
        assert rows.grant_status("beta-tasks") == "suspended"
        hold = rows.one("SELECT hold FROM federation_grants")
        assert (hold["kind"], hold["by"].partition(":")[0]) == ("suspend", "worker")
        assert token.public_id in hold["reason"]
        assert len(data(rows, "grant.suspended")) == 1
        assert not rows.one("SELECT holds FROM federation_authority")
        rows.apply(peer_manifest(), grant_manifest("beta-tasks", rows=7))
        assert rows.grant_status("beta-tasks") == "suspended", "no apply lifts it"
        with locked(rows.database, timedelta(seconds=5)) as tx:
            holds.resume_grant(tx, "beta-tasks", "user:ada")
        replay(client, token)
        assert rows.grant_status("beta-tasks") == "active", "that was no first one"


def test_a_signal_that_waits_for_another_one_does_not_hold_the_audit_log(
    rows: Rows, parts: Parts
) -> None:
    token = rows.invite("beta-tasks")
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with (
        serving(replace(parts, suspend_on_theft=True)) as running,
        running.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        assert Enrollee().enroll(client, token).status_code == 201
        with rows.database.transaction() as tx:
            tx.run("SELECT pg_advisory_xact_lock(:key)", key=thefts.THEFT_LOCK)
            replaying = pool.submit(replay, client, token)
            wait_until(lambda: rows.one(waiting), "the signal waits")
            tx.run("SELECT FROM federation_audit_head FOR UPDATE NOWAIT")
        replaying.result()
    assert rows.grant_status("beta-tasks") == "suspended"


def test_without_the_setting_nothing_is_suspended(
    client: httpx.Client, rows: Rows, spent: Token
) -> None:
    replay(client, spent, 2)
    assert rows.grant_status("beta-tasks") == "active"


def test_the_log_is_listed_by_kind_time_and_subject(
    client: httpx.Client, rows: Rows, spent: Token, mosaic: Quick
) -> None:
    replay(client, spent)

    def kinds(*arguments: str) -> set[str]:
        entries = mosaic.document("audit", "list", *arguments)
        return {each["kind"] for each in entries}

    assert kinds("--kind", "theft.suspected") == {"theft.suspected"}
    assert kinds("--kind", "theft") == {"theft.suspected"}
    assert kinds("--kind", "theft", "--kind", "token.minted") == {"theft.suspected", "token.minted"}
    assert kinds("--kind", "theft", "--subject", "grant/other") == set()
    assert kinds("--kind", "grant", "--subject", "grant/beta-tasks", "--since", "1h") == {
        "grant.created",
        "grant.enrolled",
    }
    assert kinds("--since", "2126-01-01") == set()
    unknown = mosaic("audit", "list", "--kind", "theft.suspicious")
    assert (unknown.code, "did you mean theft.suspected" in unknown.err) == (64, True)
    assert mosaic("audit", "list", "--since", "yesterday").code == 64
