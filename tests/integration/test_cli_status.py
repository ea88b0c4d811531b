"""`status`: one page of what was applied, what fails, what is held, and what ends soon."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.core.values import SourceSetting
from reconciler.errors import Retry
from reconciler.loops.run import Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.reconcilers import Pass, record_pass
from reconciler.store.tx import Database
from tests.support.cli import Quick, shell
from tests.support.command import write
from tests.support.enrolling import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    found = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest())
    return found


def lines(mosaic: Quick, first: str) -> list[str]:
    return [line for line in mosaic.ok("status").out.splitlines() if line.startswith(first)]


def recorded(mosaic: Quick, actor: str, every: timedelta, failure: Retry | None = None) -> None:
    with mosaic.rows.database.transaction() as tx:
        record_pass(tx, Pass(actor, "manifests", None, every, failure))


def test_before_anything_was_applied_it_says_so_and_every_key_is_there(mosaic: Quick) -> None:
    told = mosaic.document("status")
    assert list(told) == [
        "now",
        "applied",
        "paused",
        "reconcilers",
        "counts",
        "ending",
        "held",
        "notInGitYet",
        "revocationsWaiting",
        "revocationLists",
    ]
    assert told["applied"] is None
    assert told["counts"] == {"peers": {}, "grants": {}, "certificates": {}}
    assert "nothing yet" in mosaic.ok("status").out


@pytest.mark.parametrize(
    ("left", "within"),
    [("23 hours", 1), ("6 days", 7), ("29 days", 30), ("31 days", None), ("-1 second", None)],
)
def test_what_ends_within_30_7_and_1_days_by_the_databases_clock(
    mosaic: Quick, left: str, within: int | None
) -> None:
    write(mosaic.cwd / "manifests", tasks=grant_manifest("beta-tasks"))
    mosaic.ok("apply", "--yes")
    mosaic.rows.run(
        "UPDATE federation_grants SET expires_at = now() + CAST(:left AS interval)", left=left
    )
    told = mosaic.document("status")
    assert [each["withinDays"] for each in told["ending"]] == ([within] if within else [])
    assert told["counts"]["grants"] == {"pending" if left[0] != "-" else "expired": 1}
    assert len(lines(mosaic, "ends")) == len(told["ending"])


def test_holds_rows_not_in_git_and_revocations_that_wait_are_told(mosaic: Quick) -> None:
    mosaic.ok("apply", "--yes")
    mosaic.create("beta-notes")
    mosaic.create("beta-tasks")
    mosaic.enroll("beta-tasks")
    mosaic.ok("grant", "suspend", "beta-notes", "--reason", "a leak")
    mosaic.ok("grant", "revoke", "beta-tasks", "--reason", "it is over", "--yes")
    (mosaic.cwd / "manifests" / "beta-tasks.yaml").unlink(missing_ok=True)
    mosaic.rows.run("UPDATE federation_certificates SET last_error = 'the CA is away'")

    told = mosaic.document("status")
    assert {(each["name"], each["hold"]["kind"]) for each in told["held"]} == {
        ("beta-notes", "suspend"),
        ("beta-tasks", "revoke"),
    }
    assert told["notInGitYet"] == [{"kind": "grant", "name": "beta-notes"}]
    assert told["revocationsWaiting"] == {"count": 1, "error": "the CA is away"}
    assert any("a leak" in line for line in lines(mosaic, "held"))
    assert lines(mosaic, "at the CA") == ["at the CA     1 revocation to tell: the CA is away"]


def test_a_replica_that_is_not_seen_for_long_is_marked_and_at_last_forgotten(
    mosaic: Quick,
) -> None:
    recorded(mosaic, "loop:seldom", timedelta(hours=1))
    recorded(mosaic, "loop:often", timedelta(minutes=1))
    mosaic.rows.run("UPDATE federation_reconcilers SET at = at - interval '1 hour'")
    silent = {each["actor"]: each["silent"] for each in mosaic.document("status")["reconcilers"]}
    assert silent == {"loop:seldom": False, "loop:often": True}
    (told,) = [line for line in lines(mosaic, "reconciler") if "loop:often" in line]
    assert "no longer runs" in told

    mosaic.rows.run("UPDATE federation_reconcilers SET at = at - interval '8 days'")
    recorded(mosaic, "loop:new", timedelta(minutes=1), Retry("lock_held", "held", hint="wait"))
    (left,) = mosaic.document("status")["reconcilers"]
    assert (left["actor"], left["failure"]["code"]) == ("loop:new", "lock_held")


def test_a_pause_takes_the_lock_stops_loops_and_is_told_to_a_person_who_applies(
    mosaic: Quick, database_url: str
) -> None:
    mosaic.ok("pause", "--reason", "an audit")
    assert mosaic("pause", "--reason", "another").out.startswith("paused by")
    assert lines(mosaic, "paused")[0].endswith(": an audit"), "the first one stays"
    applied = mosaic.ok("apply", "--yes")
    assert "the loops are paused by" in applied.err
    assert mosaic.statuses("peer") == {"beta": "pending"}

    database = Database(database_url, "tests")
    loop = Loop(database, Triggers(SourceSetting(str(mosaic.cwd / "manifests"))), "loop:tests")
    loop.one_pass()
    assert "an audit" in loop.trouble
    mosaic.ok("resume")
    with database.transaction() as tx:
        tx.run("SELECT pg_advisory_xact_lock(:key)", key=0x6D6F73_61706C)
        held = mosaic("pause", "--reason", "another", "--wait-lock", "1s")
    assert held.code == 4
    assert mosaic.document("status")["paused"] is None
