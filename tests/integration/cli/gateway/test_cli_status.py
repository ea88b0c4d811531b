"""`status`: one page of what was applied, what fails, what is held, and what ends soon."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.errors import Retry
from reconciler.loops.run import Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.db import Database
from reconciler.store.locks import locked
from reconciler.store.loop_status import MAX_PROBLEMS, Pass, Waiting, record_pass
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.database.loop import while_running
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.project.checkout import ROOT
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    result = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest())
    return result


def lines(mosaic: Quick, first: str) -> list[str]:
    return [line for line in mosaic.ok("status").out.splitlines() if line.startswith(first)]


def recorded(mosaic: Quick, actor: str, every: timedelta, failure: Retry | None = None) -> None:
    with mosaic.rows.database.transaction() as tx:
        waiting = Waiting.RETRY if failure else Waiting.CHANGE
        record = Pass(actor, "manifests", None, every, failure, waiting, every, "watched")
        record_pass(tx, record)


def test_before_anything_was_applied_it_says_so_and_every_key_is_there(mosaic: Quick) -> None:
    document = mosaic.document("status")
    assert list(document) == [
        "now",
        "applied",
        "trustOverride",
        "restore",
        "paused",
        "reconcilers",
        "drift",
        "counts",
        "ending",
        "held",
        "theftSignals",
        "notInGitYet",
        "unused",
        "outbound",
        "notices",
        "revocationsWaiting",
        "revocationLists",
        "move",
        "checkpoint",
    ]
    assert document["move"] is None
    assert document["applied"] is None
    assert document["drift"] == {"count": 0, "next": None}
    assert document["counts"] == {"peers": {}, "grants": {}, "certificates": {}}
    assert "nothing yet" in mosaic.ok("status").out


def test_the_page_names_every_key_of_the_document(mosaic: Quick) -> None:
    page = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    shown = page.partition("`--output json` has all of this: `{")[2].partition("}`")[0]
    while (outer := re.sub(r"\[[^][]*\]|\{[^{}]*\}", "", shown)) != shown:  # the innermost first
        shown = outer
    assert {key.strip() for key in shown.split(",")} == set(mosaic.document("status"))


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
    document = mosaic.document("status")
    assert [each["withinDays"] for each in document["ending"]] == ([within] if within else [])
    assert document["counts"]["grants"] == {"pending" if left[0] != "-" else "expired": 1}
    assert len(lines(mosaic, "ends")) == len(document["ending"])


def test_holds_rows_not_in_git_and_revocations_that_wait_are_told(mosaic: Quick) -> None:
    mosaic.ok("apply", "--yes")
    mosaic.create("beta-notes")
    mosaic.create("beta-tasks")
    mosaic.enroll("beta-tasks")
    mosaic.ok("grant", "suspend", "beta-notes", "--reason", "a leak")
    mosaic.ok("grant", "revoke", "beta-tasks", "--reason", "it is over", "--yes")
    (mosaic.cwd / "manifests" / "beta-tasks.yaml").unlink(missing_ok=True)
    mosaic.rows.run("UPDATE federation_certificates SET last_error = 'the CA is away'")

    document = mosaic.document("status")
    assert {(each["name"], each["hold"]["kind"]) for each in document["held"]} == {
        ("beta-notes", "suspend"),
        ("beta-tasks", "revoke"),
    }
    assert document["notInGitYet"] == [{"kind": "grant", "name": "beta-notes"}]
    assert document["revocationsWaiting"] == {"count": 1, "error": "the CA is away"}
    assert any("a leak" in line for line in lines(mosaic, "held"))
    assert lines(mosaic, "at the CA") == ["at the CA     1 revocation pending: the CA is away"]


def test_a_replica_that_is_not_seen_for_long_is_marked_and_at_last_forgotten(
    mosaic: Quick,
) -> None:
    recorded(mosaic, "loop:seldom", timedelta(hours=1))
    recorded(mosaic, "loop:often", timedelta(minutes=1))
    mosaic.rows.run("UPDATE federation_reconcilers SET at = at - interval '1 hour'")
    silent = {each["actor"]: each["silent"] for each in mosaic.document("status")["reconcilers"]}
    assert silent == {"loop:seldom": False, "loop:often": True}
    (result,) = [line for line in lines(mosaic, "reconciler") if "loop:often" in line]
    assert "no longer runs" in result

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


def loop_of(mosaic: Quick) -> Loop:
    source = SourceSetting(str(mosaic.cwd / "manifests"))
    return Loop(Database(mosaic.rows.url, "tests"), Triggers(source), "loop:tests")


def reconciler_lines(mosaic: Quick) -> list[str]:
    out = mosaic.ok("status").out.splitlines()
    first = next(number for number, line in enumerate(out) if line.startswith("reconciler"))
    below = next(n for n, line in enumerate(out[first + 1 :], first + 1) if line[:1] != " ")
    return [line.strip() for line in out[first + 1 : below]]


def test_every_problem_of_a_failing_pass_is_told_with_its_file_and_line(mosaic: Quick) -> None:
    for name in ("one", "two"):
        write(mosaic.cwd / "manifests", **{name: grant_manifest(name).replace("list", "lst")})
    loop = loop_of(mosaic)
    loop.one_pass()
    expected = [
        line for line in mosaic("validate").out.splitlines() if line.startswith(("one", "two"))
    ]
    assert len(expected) == 2
    lines = reconciler_lines(mosaic)
    assert lines[1:3] == expected
    assert lines[3] == "correct the places named above; nothing was changed"
    failure = mosaic.document("status")["reconcilers"][0]["failure"]
    assert failure["problemCount"] == 2
    assert failure["problems"] == mosaic("validate", "--output", "json").document

    for name in ("one", "two"):
        (mosaic.cwd / "manifests" / f"{name}.yaml").unlink()
    loop.one_pass()
    assert mosaic.document("status")["reconcilers"][0]["failure"] is None


def test_more_problems_than_fit_are_counted_and_the_command_that_lists_them_is_named(
    mosaic: Quick,
) -> None:
    names = [f"g{number}" for number in range(MAX_PROBLEMS + 3)]
    write(mosaic.cwd / "manifests", **dict.fromkeys(names, "kind: Nonsense\n"))
    total = len(mosaic("validate", "--output", "json").document)
    loop_of(mosaic).one_pass()
    failure = mosaic.document("status")["reconcilers"][0]["failure"]
    assert (len(failure["problems"]), failure["problemCount"]) == (MAX_PROBLEMS, total)
    more = f"and {total - MAX_PROBLEMS} more: `mosaic federation validate` lists them"
    assert more in reconciler_lines(mosaic)


def test_what_the_loop_waits_for_is_told(mosaic: Quick, database_url: str) -> None:
    def waiting() -> tuple[str, str]:
        (result,) = mosaic.document("status")["reconcilers"]
        return result["waiting"]["for"], reconciler_lines(mosaic)[-1]

    source = mosaic.cwd / "manifests"
    watched = f"{source} (watched by file system events, compared every 2s; a pass every 1m"
    loop = loop_of(mosaic)
    loop.one_pass()
    what, line = waiting()
    assert what == "change"
    assert line.startswith(f"waits for a change of {watched}")
    assert "; next pass in " in line

    mosaic.ok("pause", "--reason", "an audit")
    loop.one_pass()
    what, line = waiting()
    assert what == "resume"
    assert line.startswith("waits for `mosaic federation resume`; next pass in ")
    mosaic.ok("resume")

    with locked(mosaic.rows.database, timedelta(seconds=60)):
        loop.one_pass()
        what, line = waiting()
    assert what == "retry"
    assert line.startswith(("tries again in ", "a pass is due"))
    assert "another process holds the lock: tests" in mosaic.ok("status").out

    (source / "beta.yaml").unlink()
    loop.one_pass()
    what, line = waiting()
    assert what == "person"
    assert line.startswith(f"waits for a person, or a change of {watched}")


def test_a_loop_that_was_stopped_waits_for_nothing(mosaic: Quick) -> None:
    def story() -> None:
        wait_until(lambda: mosaic.document("status")["reconcilers"], "a pass")

    while_running(loop_of(mosaic), story)
    assert mosaic.document("status")["reconcilers"][0]["waiting"] is None
    assert reconciler_lines(mosaic) == ["stopped"]


def test_drift_is_counted_and_the_command_that_shows_it_is_named(mosaic: Quick) -> None:
    mosaic.ok("apply", "--yes")
    mosaic.rows.run("UPDATE federation_peers SET display_name = 'by hand'")
    assert mosaic.document("status")["drift"] == {"count": 1, "next": "mosaic federation drift"}
    assert lines(mosaic, "drift") == ["drift         1 object changed in the database by hand"]
    assert "by hand" in mosaic.ok("drift").out
