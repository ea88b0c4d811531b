"""`plan` and `apply`: what they print, what they ask, and how they end."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.text import printable
from reconciler.store.locks import locked
from reconciler.store.tx import Database
from tests.support.cli import Quick
from tests.support.command import write
from tests.support.enrolling import Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside `m`, a folder that declares one peer and one grant."""
    write(tmp_path / "m", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    return Quick(tmp_path, {"MOSAIC_DATABASE_URL": database_url})


def test_a_plan_reads_as_the_design_shows_it(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    write(
        mosaic.cwd / "m",
        tasks=grant_manifest("beta-tasks", rows=1000),
        notes=grant_manifest("beta-notes"),
    )
    assert mosaic.ok("plan", "m").out.splitlines() == [
        "  ~ grant/beta-tasks                tasks.yaml:4",
        "      ~ scope.maxRowsPerQuery  500 -> 1000                        WIDENS",
        "  + grant/beta-notes                notes.yaml:4",
        "      + peer  beta",
        "      + subjectUserId  maria@alpha.example",
        "      + expiresAt  2036-06-30T00:00:00Z",
        '      + scope.resources[tasks]  {"type": "tasks", "verbs": ["list", "get"]}',
        "      + scope.maxRowsPerQuery  500",
        "Plan: 1 to add, 1 to change, 0 to remove, 1 unchanged (of 3).",
        "Guard: 0 removals of 2 (0.00 %), limit 30 %.",
        "Next: mosaic federation apply m",
    ]


def test_a_plan_as_json_has_the_names_of_the_contract(mosaic: Quick) -> None:
    plan = mosaic.document("plan", "m")
    assert plan["formatVersion"] == 1
    assert plan["source"] == {"path": str(mosaic.cwd / "m"), "revision": None, "dirty": False}
    assert [(each["action"], each["kind"], each["name"]) for each in plan["changes"]] == [
        ("create", "Peer", "beta"),
        ("create", "Grant", "beta-tasks"),
    ]
    for change in plan["changes"]:
        assert set(change) == {
            *("action", "kind", "name", "path", "line", "reason", "fields", "certificates"),
        }
        assert all(set(each) == {"path", "old", "new", "effect"} for each in change["fields"])
    assert plan["summary"] == {
        "create": 2,
        "update": 0,
        "replace": 0,
        "revoke": 0,
        "unchanged": 0,
        "total": 2,
    }
    assert plan["guard"]["allowed"] is True


def test_a_plan_changes_nothing_and_says_so_by_its_exit_code(mosaic: Quick) -> None:
    assert mosaic("plan", "m").code == 0
    assert mosaic("plan", "m", "--detailed-exitcode").code == 2
    assert mosaic.document("grant", "list") == []
    mosaic.ok("apply", "m", "--yes")
    assert mosaic("plan", "m", "--detailed-exitcode").code == 0


def test_an_apply_without_a_terminal_shows_the_plan_and_needs_yes(mosaic: Quick) -> None:
    done = mosaic("apply", "m")
    assert done.code == 64
    assert "Plan: 2 to add" in done.out
    assert "pass --yes" in done.err
    as_json = mosaic("apply", "m", "--output", "json")
    assert as_json.out == ""
    assert as_json.error["code"] == "confirmation_needed"
    assert mosaic.document("grant", "list") == []


def test_a_second_apply_finds_nothing_to_do(mosaic: Quick) -> None:
    assert "Applied: 2 added, 0 changed" in mosaic.ok("apply", "m", "--yes").out
    second = mosaic.ok("apply", "m", "--yes")
    assert second.out.splitlines()[-1] == "Nothing to do."
    document = mosaic.document("apply", "m", "--yes")
    assert (document["changes"], document["summary"]["unchanged"]) == ([], 2)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\x03", 130)])
def test_a_person_is_asked_and_obeyed(mosaic: Quick, answer: str, code: int) -> None:
    done = mosaic.at_terminal("apply", "m", typed=answer)
    assert done.code == code
    assert "Apply these changes? [y/N]" in done.out
    assert len(mosaic.document("grant", "list")) == (code == 0)


def test_colour_is_for_terminals_that_did_not_decline_it(mosaic: Quick) -> None:
    assert "\x1b[32m" in mosaic.at_terminal("plan", "m").out
    assert "\x1b[" not in mosaic.at_terminal("plan", "m", NO_COLOR="1").out
    assert "\x1b[" not in mosaic.ok("plan", "m").out


def test_an_empty_source_is_refused_until_it_is_allowed(mosaic: Quick) -> None:
    (mosaic.cwd / "empty").mkdir()
    assert mosaic("plan", "empty").code == 0  # nothing is managed yet
    mosaic.ok("apply", "m", "--yes")
    plan = mosaic("plan", "empty")
    assert plan.code == 3
    assert "refused: the source has no manifest" in plan.out
    done = mosaic("apply", "empty", "--yes", "--output", "json")
    assert (done.code, done.error["code"]) == (3, "guard_empty")
    assert mosaic.statuses() == {"beta-tasks": "pending"}
    mosaic.ok("apply", "empty", "--yes", "--allow-empty")
    assert mosaic.statuses() == {"beta-tasks": "revoked"}


def test_too_many_removals_are_refused_until_their_number_is_stated(mosaic: Quick) -> None:
    many = {f"g{n}": grant_manifest(f"g{n}") for n in range(5)}
    write(mosaic.cwd / "m", **many)
    mosaic.ok("apply", "m", "--yes")
    for name in many:
        (mosaic.cwd / "m" / f"{name}.yaml").unlink()
    done = mosaic("apply", "m", "--yes")
    assert done.code == 3
    assert "5 removals of 7 managed objects (71.43 %), limit 30 % and 3" in done.err
    assert "--max-removals 5" in done.err
    assert mosaic("apply", "m", "--yes", "--max-removals", "4").code == 3
    mosaic.ok("apply", "m", "--yes", "--max-removals", "5")


def test_what_is_protected_is_not_removed(mosaic: Quick) -> None:
    protected = peer_manifest().replace("inbound,", "inbound, protect: true,")
    write(mosaic.cwd / "m", beta=protected)
    mosaic.ok("apply", "m", "--yes")
    other = mosaic.cwd / "other"
    write(other, gamma=peer_manifest("gamma"))
    done = mosaic("apply", "other", "--yes", "--max-removals", "100%")
    assert done.code == 3
    assert "peer/beta is protected" in done.err


def test_a_path_that_is_a_file_is_wrong_usage_and_names_target(mosaic: Quick) -> None:
    for verb in ("plan", "apply"):
        done = mosaic(verb, "m/tasks.yaml")
        assert done.code == 64
        assert "--target" in done.err


def test_a_source_that_is_not_there_revokes_nothing(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    shutil.move(mosaic.cwd / "m", mosaic.cwd / "gone")
    done = mosaic("apply", "m", "--yes")
    assert done.code == 1
    assert "does not exist" in done.err
    assert mosaic.statuses() == {"beta-tasks": "pending"}


def test_a_target_is_applied_alone_with_the_peer_that_it_needs(mosaic: Quick) -> None:
    write(mosaic.cwd / "m", notes=grant_manifest("beta-notes"), gamma=peer_manifest("gamma"))
    done = mosaic.ok("apply", "m", "--yes", "--target", "grant/beta-notes")
    assert "Plan: 2 to add" in done.out
    assert mosaic.statuses() == {"beta-notes": "pending"}
    assert [each["name"] for each in mosaic.document("peer", "list")] == ["beta"]
    (mosaic.cwd / "m" / "notes.yaml").unlink()
    mosaic.ok("apply", "m", "--yes", "--target", "grant/beta-notes")
    assert mosaic.statuses() == {"beta-notes": "revoked"}
    mistyped = mosaic("plan", "m", "--target", "peer/betta")
    assert mistyped.code == 1
    assert "did you mean peer/beta?" in mistyped.err


def test_a_peer_that_goes_takes_its_grants_along_where_it_alone_is_targeted(
    mosaic: Quick,
) -> None:
    write(mosaic.cwd / "m", gamma=peer_manifest("gamma"))
    mosaic.ok("apply", "m", "--yes")
    (mosaic.cwd / "m" / "beta.yaml").unlink()
    (mosaic.cwd / "m" / "tasks.yaml").unlink()
    mosaic.ok("apply", "m", "--yes", "--target", "peer/beta")
    assert mosaic.statuses() == {"beta-tasks": "revoked"}


def test_a_saved_plan_is_applied_exactly_or_is_stale(mosaic: Quick) -> None:
    saved = mosaic.ok("plan", "m", "--save", "my plan")
    assert saved.out.splitlines()[-1] == "Next: mosaic federation apply 'my plan'"
    assert "Applied: 2 added" in mosaic.ok("apply", "my plan").out
    done = mosaic("apply", "my plan", "--output", "json")
    assert (done.code, done.error["code"]) == (5, "plan_stale")
    write(mosaic.cwd / "m", tasks=grant_manifest("beta-tasks", rows=400))
    mosaic.ok("plan", "m", "--save", "my plan")
    write(mosaic.cwd / "m", tasks=grant_manifest("beta-tasks", rows=9000))
    assert mosaic("apply", "my plan").code == 5
    assert mosaic.document("grant", "show", "beta-tasks")["scope"]["maxRowsPerQuery"] == 500


def test_a_saved_plan_of_a_target_stays_with_it(mosaic: Quick) -> None:
    mosaic.ok("plan", "m", "--target", "peer/beta", "--save", "p.json")
    write(mosaic.cwd / "m", gamma=peer_manifest("gamma"))
    mosaic.ok("apply", "p.json")
    assert [each["name"] for each in mosaic.document("peer", "list")] == ["beta"]
    assert mosaic("apply", "p.json", "--target", "peer/gamma").code == 64


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"formatVersion": 2}', "\x00", "[" * 100_000])
def test_a_file_that_is_no_plan_is_wrong_usage(mosaic: Quick, text: str) -> None:
    (mosaic.cwd / "p.json").write_text(text)
    done = mosaic("apply", "p.json", "--output", "json")
    assert (done.code, done.error["code"]) == (64, "usage"), printable(text)


def test_an_apply_that_waits_in_vain_names_who_holds_the_lock(
    mosaic: Quick, database_url: str
) -> None:
    with locked(Database(database_url, "mosaic run ada@there pid 1"), timedelta(seconds=5)):
        done = mosaic("apply", "m", "--yes", "--wait-lock", "1s")
        assert done.code == 4
        assert "mosaic run ada@there pid 1" in done.err
        assert mosaic("plan", "m").code == 0


def test_hostile_text_in_a_manifest_reaches_no_terminal(mosaic: Quick) -> None:
    hostile = peer_manifest().replace("displayName: beta", 'displayName: "a\\u202eb"')
    write(mosaic.cwd / "m", beta=hostile)
    shown = mosaic("plan", "m")
    assert "\u202e" not in shown.out + shown.err


def test_an_apply_is_recorded_and_the_chain_verifies(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    entries: list[dict[str, Any]] = mosaic.document("audit", "list")
    assert [each["kind"] for each in entries] == ["peer.created", "grant.created"]
    assert all(each["actor"].startswith("user:") for each in entries)
    assert [set(each) for each in entries] == [
        {"seq", "at", "kind", "actor", "subject", "data"}
    ] * 2
    assert len(mosaic.document("audit", "list", "--subject", "grant/beta-tasks")) == 1
    assert mosaic.ok("audit", "verify").out == "2 entries verify\n"


def test_what_is_to_be_typed_next_carries_the_flags_that_were_given(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    (mosaic.cwd / "m" / "tasks.yaml").unlink()
    (mosaic.cwd / "m" / "beta.yaml").unlink()
    planned = mosaic.ok("plan", "--source", "m", "--max-removals", "40%", "--allow-empty")
    said = planned.out.splitlines()[-1]
    flags = "--max-removals 40% --allow-empty --source m"
    assert said == f"Next: mosaic federation apply {flags}"
    mosaic.ok(*said.removeprefix("Next: mosaic federation ").split(), "--yes")


def test_a_replaced_peer_has_not_left_git_and_its_row_says_so(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    (mosaic.cwd / "m" / "tasks.yaml").unlink()
    outbound = peer_manifest().replace("inbound", "outbound, endpoint: 'https://beta.example'")
    write(mosaic.cwd / "m", beta=outbound)
    mosaic.ok("apply", "m", "--yes")
    rows = Rows(mosaic.variables["MOSAIC_DATABASE_URL"])
    reason = rows.one("SELECT revoked_reason FROM federation_peers WHERE status = 'revoked'")
    assert reason == "its direction changes"
    (audited,) = rows.audited("peer.revoked")
    assert '"reason":"its direction changes"' in audited["body"].replace(": ", ":")
