"""What the guard refuses on the command line, with which figures, and how it is let through."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.store.notices import targets
from tests.support.commands.applied_source import applied_source, declare, withdraw
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside an applied source: beta, and four grants to it."""
    return applied_source(tmp_path, database_url)


def protected(text: str) -> str:
    return text.replace("spec:\n", "spec:\n  protect: true\n")


def test_too_many_removals_are_refused_with_their_names_until_their_number_is_stated(
    mosaic: Quick,
) -> None:
    withdraw(mosaic, *"abcd")
    done = mosaic("apply", "--yes")
    assert done.code == 3
    figures = "4 removals of 5 managed objects (80.00%), limit 30% and 3"
    assert f"error: {figures}: grant/a, grant/b, grant/c, grant/d" in done.err
    assert "--max-removals 4 allows it once" in done.err
    assert mosaic("apply", "--yes", "--max-removals", "3").code == 3
    mosaic.ok("apply", "--yes", "--max-removals", "4")


def told(mosaic: Quick) -> list[str]:
    """The types of the notices, those of applies aside, and who is named in them."""
    rows = mosaic.rows.rows("SELECT document FROM federation_notices ORDER BY seq")
    documents = [json.loads(row["document"]) for row in rows]
    return [
        each["type"].removeprefix("mosaic.federation.")
        for each in documents
        if each["data"]["event"] != "applied" and each["data"]["actor"].startswith("user:")
    ]


def test_the_refused_apply_of_a_person_is_told_once_and_its_end_once(mosaic: Quick) -> None:
    withdraw(mosaic, *"abcd")
    mosaic("apply", "--yes")
    assert told(mosaic) == []  # there is no target
    with mosaic.rows.database.transaction() as tx:
        targets.register(tx, "hook", "json", ("applied", "refused"))
    assert mosaic("plan").code == mosaic("apply", "--dry-run").code == 3
    assert told(mosaic) == []  # nobody tried
    for words in (("--yes",), (), ("--yes", "-o", "json")):
        assert mosaic("apply", *words).code == 3
        assert told(mosaic) == ["refused.begun"]
    mosaic.ok("apply", "--yes", "--target", "grant/a")
    assert told(mosaic) == ["refused.begun"]  # that was no whole source
    mosaic.ok("apply", "--yes", "--max-removals", "4")
    mosaic.ok("apply", "--yes")
    assert told(mosaic) == ["refused.begun", "refused.over"]
    mosaic.ok("audit", "verify")


def test_an_empty_source_is_refused_until_it_is_allowed(mosaic: Quick) -> None:
    (mosaic.cwd / "empty").mkdir()
    result = mosaic("plan", "empty", "--max-removals", "5")
    assert result.code == 3
    assert (
        "refused: the source has no manifest: 5 removals (100.00% of 5 managed, limit 0):"
        " grant/a, grant/b, grant/c, grant/d, peer/beta\n"
        "  check the path and the ref; --allow-empty allows it once\n"
    ) in result.out
    flags = ("--yes", "--max-removals", "5")
    done = mosaic("apply", "empty", *flags, "--output", "json")
    assert (done.code, done.error["code"]) == (3, "guard_empty")
    assert set(mosaic.statuses().values()) == {"pending"}
    mosaic.ok("apply", "empty", *flags, "--allow-empty")
    assert set(mosaic.statuses().values()) == {"revoked"}
    assert mosaic("plan", "empty").code == 0  # nothing is managed any more


def test_what_is_protected_needs_a_commit_of_its_own_that_drops_the_protection(
    mosaic: Quick,
) -> None:
    declare(mosaic, a=protected(grant_manifest("a")))
    mosaic.ok("apply", "--yes")
    # dropped in the commit that removes the block: the stored row decides
    withdraw(mosaic, "a")
    done = mosaic("apply", "--yes", "--max-removals", "100%", "--allow-empty", "--output", "json")
    assert (done.code, done.error["code"]) == (3, "guard_protected")
    assert done.error["message"] == (
        "1 protected object would be removed, replaced or ended sooner"
        " (20.00% of 5 managed, limit 0): grant/a"
    )
    assert "protect: false" in done.error["hint"]
    # dropped in the commit that replaces it
    declare(mosaic, a=grant_manifest("a", subject="other"))
    assert mosaic("apply", "--yes").code == 3
    plan = mosaic("plan")
    assert plan.code == 3
    assert "refused: 1 protected object would be removed, replaced or ended sooner" in plan.out
    # on its own, and then the removal
    declare(mosaic, a=grant_manifest("a"))
    mosaic.ok("apply", "--yes")
    withdraw(mosaic, "a")
    mosaic.ok("apply", "--yes")
    assert mosaic.statuses()["a"] == "revoked"


def test_a_protected_peer_stays_and_a_protected_grant_keeps_its_peer(mosaic: Quick) -> None:
    beta = peer_manifest().replace("inbound,", "inbound, protect: true,")
    write(mosaic.cwd / "manifests", beta=beta)
    declare(mosaic, a=protected(grant_manifest("a")))
    mosaic.ok("apply", "--yes")
    withdraw(mosaic, *"abcd")
    write(mosaic.cwd / "manifests", beta=peer_manifest("gamma"))
    done = mosaic("apply", "--yes", "--max-removals", "100%")
    assert done.code == 3
    assert "2 protected objects would be removed, replaced or ended sooner" in done.err
    assert "grant/a, peer/beta" in done.err


def test_an_exception_of_the_guard_holds_once(mosaic: Quick) -> None:
    withdraw(mosaic, *"abcd")
    assert mosaic("apply", "--yes").code == 3
    allowed = mosaic("plan", "--max-removals", "80%")
    assert allowed.code == 0
    assert "Guard: 4 removals of 5 (80.00%), allowed by --max-removals 80%." in allowed.out
    assert mosaic("apply", "--yes", "--max-removals", "79%").code == 3
    mosaic.ok("apply", "--yes", "--max-removals", "80%")
    declare(mosaic, **{each: grant_manifest(each) for each in "abcd"})
    mosaic.ok("apply", "--yes")
    withdraw(mosaic, *"abcd")
    assert mosaic("apply", "--yes").code == 3


def test_suspending_narrows_and_counts_as_a_removal_and_resuming_widens(mosaic: Quick) -> None:
    declare(mosaic, a=grant_manifest("a", suspended="true"))
    plan = mosaic.document("plan")
    (field,) = plan["changes"][0]["fields"]
    assert (field["path"], field["effect"], plan["guard"]["removals"]) == (
        "suspended",
        "narrows",
        1,
    )
    mosaic.ok("apply", "--yes")
    declare(mosaic, a=grant_manifest("a"))
    (field,) = mosaic.document("plan")["changes"][0]["fields"]
    assert field["effect"] == "widens"


def test_a_refused_plan_as_json_names_every_refusal_and_exits_with_3(mosaic: Quick) -> None:
    withdraw(mosaic, *"abcd")
    (mosaic.cwd / "manifests" / "beta.yaml").unlink()
    done = mosaic("plan", "--output", "json", "--detailed-exitcode")
    assert (done.code, done.error["code"]) == (3, "guard_removals")
    guard = done.document["guard"]
    assert [each["code"] for each in guard["refusals"]] == ["guard_removals", "guard_empty"]
    assert len(guard["refusals"][0]["objects"]) == 5
    assert mosaic("apply", "--yes", "--allow-empty").code == 3
    assert mosaic("apply", "--yes", "--max-removals", "5").code == 3
    mosaic.ok("apply", "--yes", "--max-removals", "5", "--allow-empty")


def test_widening_is_refused_where_that_is_asked_for(mosaic: Quick) -> None:
    declare(mosaic, a=grant_manifest("a", rows=501), b=grant_manifest("b", rows=1))
    refused = mosaic("plan", "--refuse-widening")
    assert refused.code == 3
    assert (
        "refused: 1 object would be granted more than now (50.00% of 2 changes, limit 0): grant/a"
    ) in refused.out
    assert "leaving --refuse-widening out allows it once" in refused.out
    error = mosaic("apply", "--yes", "--refuse-widening", "--output", "json").error
    assert (error["code"], error["exitCode"]) == ("guard_widening", 3)
    narrowed = ("apply", "--yes", "--refuse-widening", "--exclude", "grant/a")
    mosaic.ok(*narrowed)
    assert mosaic.grant("b")["scope"]["maxRowsPerQuery"] == 1
