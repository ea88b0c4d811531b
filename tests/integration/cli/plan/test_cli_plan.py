"""What a plan says, and that it changes nothing."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.commands.applied_source import applied_source, declare, withdraw
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.in_process import Quick

CHANGE_NAMES: Final = (
    *("action", "kind", "name", "path", "line", "reason", "fields", "certificates"),
)
RESOURCE: Final = "{type: tasks, verbs: [list, get]}"


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside an applied source: beta, and four grants to it."""
    return applied_source(tmp_path, database_url)


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


def test_a_plan_tells_reasons_places_what_is_left_the_figures_and_what_is_next(
    mosaic: Quick,
) -> None:
    mosaic.enroll("a")
    change_all_ways(mosaic)
    lines = mosaic.ok("plan").out.splitlines()
    (certificate,) = [line for line in lines if line.startswith("      ! ")]
    assert re.fullmatch(r"      ! [0-9a-f]{39} of beta, until \S+Z", certificate)
    lines.remove(certificate)
    assert lines == [
        (
            "  - grant/a                         no longer in git (grants/a.yaml:4)"
            "  1 live certificate will be revoked"
        ),
        "  ± grant/b                         its subject user changes (grants/b.yaml:4)",
        "      ~ subjectUserId  maria@alpha.example -> other@alpha.example",
        "  ~ grant/c                         grants/c.yaml:4               changed in git",
        "      ~ expiresAt  2036-06-30T00:00:00Z -> 2030-01-01T00:00:00Z   NARROWS",
        "      ~ scope.maxRowsPerQuery  500 -> 1000                        WIDENS",
        "  + peer/gamma                      gamma.yaml:4                  new in git",
        "      + direction  inbound",
        "      + displayName  gamma",
        "  + grant/e                         grants/e.yaml:4               new in git",
        "      + peer  gamma",
        "      + subjectUserId  maria@alpha.example",
        "      + expiresAt  2036-06-30T00:00:00Z",
        '      + scope.resources[tasks]  {"type": "tasks", "verbs": ["list", "get"]}',
        "      + scope.maxRowsPerQuery  500",
        "Plan: 2 to add, 1 to change, 1 to replace, 1 to remove, 2 unchanged (of 7).",
        "Guard: 2 removals of 5 (40.00%), up to 3 are allowed.",
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


def test_of_a_set_only_the_members_that_come_and_go_are_told(mosaic: Quick) -> None:
    def with_teams(teams: list[str]) -> str:
        resource = f"{{type: tasks, verbs: [list, get], filter: {{teams: {json.dumps(teams)}}}}}"
        return grant_manifest("a").replace(RESOURCE, resource)

    teams = [f"t{n:02}" for n in range(20)]
    declare(mosaic, a=with_teams(teams))
    listed = next(line for line in mosaic.ok("plan").out.splitlines() if "teams" in line)
    assert '-> ["t00", "t01", "t02", "t03", "t04", "t05", "t06", "t07", … 12 more]' in listed
    mosaic.ok("apply", "--yes")
    declare(mosaic, a=with_teams(["new", *teams[1:]]))
    line = next(line for line in mosaic.ok("plan").out.splitlines() if "teams" in line)
    assert line.endswith('.filter.teams  + "new", - "t00" (19 unchanged)  MIXED')
    (change,) = mosaic.document("plan")["changes"]
    assert change["fields"][0]["new"] == ["new", *teams[1:]]


def test_a_set_in_another_order_and_a_default_written_out_are_no_change(mosaic: Quick) -> None:
    first = "{type: notes, verbs: [get, list], filter: {teams: [a, b]}}"
    declare(mosaic, a=grant_manifest("a").replace(RESOURCE, f"{RESOURCE}, {first}"))
    mosaic.ok("apply", "--yes")
    same = (
        "{type: notes, verbs: [list, get], filter: {personal: true, teams: [b, a]}}, "
        "{type: tasks, verbs: [get, list], filter: {personal: true}}"
    )
    text = grant_manifest("a", lifetime="1440m").replace(RESOURCE, same)
    text = text.replace("spec:\n", "spec:\n  protect: false\n")
    declare(mosaic, a=text.replace("00:00:00Z", "02:00:00+02:00"))
    peer = peer_manifest().replace("inbound,", "inbound, protect: false,")
    write(mosaic.cwd / "manifests", beta=peer.replace("name: beta", "name: beta, labels: {}"))
    assert mosaic.ok("plan").out.startswith("Plan: nothing to do, 5 unchanged (of 5).")


def test_a_row_knows_the_file_and_line_of_its_manifest_and_moving_it_is_no_change(
    mosaic: Quick,
) -> None:
    text = (mosaic.cwd / "manifests" / "grants" / "a.yaml").read_text()
    withdraw(mosaic, "a")
    write(mosaic.cwd / "manifests", moved=f"# moved\n{text}")
    applied = mosaic.document("apply", "--yes")
    assert applied["changes"] == []
    assert mosaic.grant("a")["source"] == {"path": "moved.yaml", "line": 5}


def test_what_is_removed_suspended_or_narrowed_names_its_live_certificates(mosaic: Quick) -> None:
    for name in "abc":
        mosaic.enroll(name)
    withdraw(mosaic, "a")
    declare(mosaic, b=grant_manifest("b", suspended="true"), c=grant_manifest("c", rows=5))

    output = mosaic.ok("plan").out
    for name, will in (("a", "revoked"), ("b", "withheld"), ("c", "narrowed")):
        line = next(line for line in output.splitlines() if f" grant/{name} " in line)
        assert line.endswith(f"1 live certificate will be {will}"), line
        serial = mosaic.grant(name)["certificates"][0]["serial"]
        assert f"      ! {serial} of beta, until " in output
    certificates = [each["certificates"] for each in mosaic.document("plan")["changes"]]
    assert [len(each) for each in certificates] == [1, 1, 1]


def test_a_wider_grant_ends_no_certificate(mosaic: Quick) -> None:
    mosaic.enroll("c")
    declare(mosaic, c=grant_manifest("c", rows=501))
    assert mosaic.document("plan")["changes"][0]["certificates"] == []


def test_of_many_certificates_five_are_shown_and_all_are_in_the_document(mosaic: Quick) -> None:
    for _ in range(7):
        mosaic.enroll("a")
    withdraw(mosaic, "a")
    lines = mosaic.ok("plan").out.splitlines()
    assert lines[0].endswith("7 live certificates will be revoked")
    assert sum(" of beta, until " in line for line in lines) == 5
    assert "      ! … and 2 more; --output json lists them" in lines
    assert len(mosaic.document("plan")["changes"][0]["certificates"]) == 7


def test_an_ended_certificate_of_a_peer_or_a_grant_is_not_live(mosaic: Quick) -> None:
    mosaic.enroll("a")
    mosaic.rows.run(
        "UPDATE federation_certificates SET not_before = clock_timestamp() - interval '2 h',"
        " not_after = clock_timestamp() - interval '1 h'"
    )
    withdraw(mosaic, "a")
    assert mosaic.document("plan")["changes"][0]["certificates"] == []


def test_all_that_is_wrong_with_the_manifests_is_listed_and_nothing_is_planned(
    mosaic: Quick,
) -> None:
    declare(mosaic, a=grant_manifest("a").replace("maria", "ma ria"), b="kind: Nothing\n")
    done = mosaic("plan")
    assert (done.code, done.out) == (1, "")
    assert re.search(r"^grants/a\.yaml:\d+:\d+: error\[", done.err, re.MULTILINE)
    assert re.search(r"^grants/b\.yaml:\d+:\d+: error\[", done.err, re.MULTILINE)
    assert mosaic("plan", "--output", "json").error["code"] == "manifest_invalid"


def test_a_plan_changes_nothing_and_says_so_by_its_exit_code(mosaic: Quick) -> None:
    assert mosaic("plan", "--detailed-exitcode").code == 0
    declare(mosaic, e=grant_manifest("e"))
    assert mosaic("plan").code == 0
    for output in ("text", "json", "markdown"):
        assert mosaic("plan", "--detailed-exitcode", "--output", output).code == 2
    assert "e" not in mosaic.statuses()
    withdraw(mosaic, *"abcde")
    assert mosaic("plan", "--detailed-exitcode").code == 3


def test_what_is_to_be_typed_next_carries_the_flags_that_were_given(mosaic: Quick) -> None:
    withdraw(mosaic, *"abcd")
    (mosaic.cwd / "manifests" / "beta.yaml").unlink()
    flags = "--exclude grant/a --max-removals 80% --allow-empty --source manifests"
    next_line = mosaic.ok("plan", *flags.split()).out.splitlines()[-1]
    assert next_line == f"Next: mosaic federation apply {flags}"
    mosaic.ok(*next_line.removeprefix("Next: mosaic federation ").split(), "--yes")
    assert mosaic.statuses() == {"a": "pending", "b": "revoked", "c": "revoked", "d": "revoked"}
