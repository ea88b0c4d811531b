"""Plans in full: their order, their words, their JSON, and what the guard and a person say."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.cli import Quick, shell
from tests.support.command import COMMAND, write
from tests.support.enrolling import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

CHANGE_NAMES: Final = (
    *("action", "kind", "name", "path", "line", "reason", "fields", "certificates"),
)
_LINE: Final = "  {:<34}{:<30}{}"  # where the columns of a plan begin


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside an applied source: beta, and four grants to it."""
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest())
    write(tmp_path / "manifests" / "grants", **{each: grant_manifest(each) for each in "abcd"})
    made.ok("apply", "--yes")
    return made


def declare(mosaic: Quick, **grants: str) -> None:
    write(mosaic.cwd / "manifests" / "grants", **grants)


def withdraw(mosaic: Quick, *grants: str) -> None:
    for each in grants:
        (mosaic.cwd / "manifests" / "grants" / f"{each}.yaml").unlink()


def protected(text: str) -> str:
    return text.replace("spec:\n", "spec:\n  protect: true\n")


def change_all_ways(mosaic: Quick) -> None:
    """Revoke a, replace b, update c, leave d, create e and the peer gamma."""
    withdraw(mosaic, "a")
    declare(
        mosaic,
        b=grant_manifest("b", subject="other@alpha.example"),
        c=grant_manifest("c", rows=1000, expires="2030-01-01T00:00:00Z"),
        e=grant_manifest("e", peer="gamma"),
    )
    write(mosaic.cwd / "manifests", gamma=peer_manifest("gamma"))


def test_changes_come_in_the_order_of_their_application(mosaic: Quick) -> None:
    change_all_ways(mosaic)
    plan = mosaic.document("plan")
    assert [(each["action"], each["kind"], each["name"]) for each in plan["changes"]] == [
        ("revoke", "Grant", "a"),
        ("replace", "Grant", "b"),
        ("update", "Grant", "c"),
        ("create", "Peer", "gamma"),
        ("create", "Grant", "e"),
    ]
    assert plan["summary"] == {
        "create": 2,
        "update": 1,
        "replace": 1,
        "revoke": 1,
        "unchanged": 2,
        "total": 7,
    }
    applied = mosaic.document("apply", "--yes")
    assert (applied["changes"], applied["digest"]) == (plan["changes"], plan["digest"])
    assert [each["name"] for each in mosaic.document("grant", "list")] == list("abbcde")


def test_a_plan_as_json_is_the_contract_field_by_field(mosaic: Quick) -> None:
    serial = mosaic.enroll("a")
    change_all_ways(mosaic)
    plan = mosaic.document("plan")
    assert tuple(plan) == (
        *("formatVersion", "digest", "source", "changes", "notes", "summary", "guard"),
    )
    assert plan["digest"].startswith("sha256:")
    assert plan["source"] == {
        "path": str(mosaic.cwd / "manifests"),
        "revision": None,
        "dirty": False,
    }
    assert [tuple(each) for each in plan["changes"]] == [CHANGE_NAMES] * 5
    revoked, replaced, updated, _, created = plan["changes"]
    assert revoked["fields"] == []
    assert revoked["reason"] == "no longer in git"
    (certificate,) = revoked["certificates"]
    assert (certificate["serial"], certificate["peer"]) == (serial, "beta")
    assert tuple(certificate) == ("serial", "peer", "notAfter")
    assert (replaced["path"], replaced["line"]) == ("grants/b.yaml", 4)
    assert replaced["fields"] == [
        {
            "path": "subjectUserId",
            "old": "maria@alpha.example",
            "new": "other@alpha.example",
            "effect": "neutral",
        }
    ]
    assert updated["fields"] == [
        {
            "path": "expiresAt",
            "old": "2036-06-30T00:00:00Z",
            "new": "2030-01-01T00:00:00Z",
            "effect": "narrows",
        },
        {"path": "scope.maxRowsPerQuery", "old": 500, "new": 1000, "effect": "widens"},
    ]
    assert {each["path"] for each in created["fields"]} >= {"peer", "subjectUserId", "expiresAt"}
    guard = plan["guard"]
    assert (guard["allowed"], guard["removals"], guard["managed"]) == (True, 2, 5)


def test_the_words_of_a_plan_are_those_of_the_design(mosaic: Quick) -> None:
    mosaic.enroll("a")
    change_all_ways(mosaic)
    told = mosaic.ok("plan").out.splitlines()
    (certificate,) = [line for line in told if line.startswith("      ! ")]
    assert re.fullmatch(r"      ! [0-9a-f]{39} of beta, until \S+Z", certificate)
    told.remove(certificate)
    assert told == [
        _LINE.format("- grant/a", "no longer in git", "1 live certificate will be revoked"),
        "  ± grant/b                         its subject user changes (grants/b.yaml:4)",
        "      ~ subjectUserId  maria@alpha.example -> other@alpha.example",
        "  ~ grant/c                         grants/c.yaml:4",
        "      ~ expiresAt  2036-06-30T00:00:00Z -> 2030-01-01T00:00:00Z   NARROWS",
        "      ~ scope.maxRowsPerQuery  500 -> 1000                        WIDENS",
        "  + peer/gamma                      gamma.yaml:4",
        "      + direction  inbound",
        "      + displayName  gamma",
        "  + grant/e                         grants/e.yaml:4",
        "      + peer  gamma",
        "      + subjectUserId  maria@alpha.example",
        "      + expiresAt  2036-06-30T00:00:00Z",
        '      + scope.resources[tasks]  {"type": "tasks", "verbs": ["list", "get"]}',
        "      + scope.maxRowsPerQuery  500",
        "Plan: 2 to add, 1 to change, 1 to replace, 1 to remove, 2 unchanged (of 7).",
        "Guard: 2 removals of 5 (40.00 %), and 3 are never too many.",
        "Next: mosaic federation apply",
    ]


def test_a_scope_that_gains_and_loses_is_told_as_both(mosaic: Quick) -> None:
    def effects(before: str, after: str) -> dict[str, str]:
        resource = "{type: tasks, verbs: [list, get]}"
        declare(mosaic, a=grant_manifest("a").replace(resource, before))
        mosaic.ok("apply", "--yes")
        declare(mosaic, a=grant_manifest("a").replace(resource, after))
        (change,) = mosaic.document("plan")["changes"]
        return {each["path"]: each["effect"] for each in change["fields"]}

    tasks = "scope.resources[tasks]"
    assert effects("{type: tasks, verbs: [list]}", "{type: tasks, verbs: [get]}") == {
        f"{tasks}.verbs": "mixed"
    }
    assert effects(
        "{type: tasks, verbs: [list]}", "{type: tasks, verbs: [list], filter: {teams: [a]}}"
    ) == {f"{tasks}.filter.teams": "narrows"}
    assert effects(
        "{type: tasks, verbs: [list], filter: {personal: false}}", "{type: tasks, verbs: [list]}"
    ) == {f"{tasks}.filter.personal": "widens"}
    assert effects("{type: tasks, verbs: [list]}", "{type: notes, verbs: [list]}") == {
        tasks: "narrows",
        "scope.resources[notes]": "widens",
    }


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


def test_a_row_knows_the_file_and_line_of_its_manifest_and_moving_it_is_no_change(
    mosaic: Quick,
) -> None:
    text = (mosaic.cwd / "manifests" / "grants" / "a.yaml").read_text()
    withdraw(mosaic, "a")
    write(mosaic.cwd / "manifests", moved=f"# moved\n{text}")
    applied = mosaic.document("apply", "--yes")
    assert applied["changes"] == []
    assert mosaic.grant("a")["source"] == {"path": "moved.yaml", "line": 5}


def test_what_is_protected_needs_a_commit_of_its_own_that_drops_the_protection(
    mosaic: Quick,
) -> None:
    declare(mosaic, a=protected(grant_manifest("a")))
    mosaic.ok("apply", "--yes")
    # dropped in the commit that removes the block: the stored row decides
    withdraw(mosaic, "a")
    done = mosaic("apply", "--yes", "--max-removals", "100%", "--allow-empty", "--output", "json")
    assert (done.code, done.error["code"]) == (3, "guard_protected")
    assert "grant/a is protected" in done.error["message"]
    assert "protect: false" in done.error["hint"]
    # dropped in the commit that replaces it
    declare(mosaic, a=grant_manifest("a", subject="other"))
    assert mosaic("apply", "--yes").code == 3
    plan = mosaic("plan")
    assert plan.code == 3
    assert "refused: grant/a is protected" in plan.out
    # on its own, and then the removal
    declare(mosaic, a=grant_manifest("a"))
    mosaic.ok("apply", "--yes")
    withdraw(mosaic, "a")
    mosaic.ok("apply", "--yes")
    assert mosaic.statuses()["a"] == "revoked"


def test_an_exception_of_the_guard_holds_once(mosaic: Quick) -> None:
    withdraw(mosaic, *"abcd")
    assert mosaic("apply", "--yes").code == 3
    allowed = mosaic("plan", "--max-removals", "80%")
    assert allowed.code == 0
    assert "Guard: 4 removals of 5 (80.00 %), limit 30 %." in allowed.out
    assert mosaic("apply", "--yes", "--max-removals", "79%").code == 3
    mosaic.ok("apply", "--yes", "--max-removals", "80%")
    declare(mosaic, **{each: grant_manifest(each) for each in "abcd"})
    mosaic.ok("apply", "--yes")
    withdraw(mosaic, *"abcd")
    assert mosaic("apply", "--yes").code == 3


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


def test_a_plan_that_a_person_looks_at_is_stale_once_the_rows_change(mosaic: Quick) -> None:
    declare(mosaic, a=grant_manifest("a", rows=7))

    def meanwhile() -> None:
        declare(mosaic, a=grant_manifest("a", rows=8))
        mosaic.ok("apply", "--yes")

    code, shown = asked(mosaic, "y\n", meanwhile)
    assert code == 5
    assert "nothing was changed; look at a new plan" in shown
    assert mosaic.grant("a")["scope"]["maxRowsPerQuery"] == 8


def test_a_person_may_approve_exactly_what_was_shown(mosaic: Quick) -> None:
    declare(mosaic, a=grant_manifest("a", rows=7))
    code, shown = asked(mosaic, "y\n", lambda: declare(mosaic, b=grant_manifest("b", rows=9)))
    assert code == 0, shown
    assert mosaic.grant("a")["scope"]["maxRowsPerQuery"] == 7
    assert mosaic.grant("b")["scope"]["maxRowsPerQuery"] == 500  # read before it was changed


def asked(mosaic: Quick, answer: str, meanwhile: Any) -> tuple[int, str]:
    """Run `apply` on a terminal; do `meanwhile` once it asks, then answer."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "apply"],
        cwd=mosaic.cwd,
        env=mosaic.environ(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while b"[y/N]" not in shown:
                shown += os.read(ours, 65536)
            meanwhile()
            os.write(ours, answer.encode())
            while True:
                shown += os.read(ours, 65536)
        except OSError:  # EIO: nobody holds the other side any more
            pass
        code = process.wait(30)
    os.close(ours)
    return code, shown.decode()
