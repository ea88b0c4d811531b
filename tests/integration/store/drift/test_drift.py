"""Rows changed by hand: seen, told with who and when, put back; by a plan as well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.store.drift.detector import DriftDetector
from reconciler.store.drift.evidence import records
from tests.support.commands.process import write
from tests.support.database.hand_changes import by_hand, one
from tests.support.database.records import enroll
from tests.support.gateways.enrollee import grant_manifest

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick

_SCOPE = '{"resources": [{"type": "notes", "verbs": ["list"]}], "maxRowsPerQuery": 9000}'


def test_nothing_drifts_after_an_apply_and_an_enrollment(mosaic: Quick) -> None:
    enroll(mosaic, "x")
    assert mosaic.document("drift") == []
    assert mosaic("drift", "--detailed-exitcode").code == 0
    mosaic.ok("grant", "suspend", "x")
    assert mosaic.document("drift") == []
    mosaic.ok("grant", "resume", "x")
    mosaic.ok("grant", "revoke", "x", "--yes")
    assert mosaic.document("drift") == []


@pytest.mark.parametrize(
    ("change", "path", "value", "effect"),
    [
        ("expires_at = '2037-01-01T00:00:00Z'", "expiresAt", "2037-01-01T00:00:00Z", "widens"),
        ("suspended = true", "suspended", True, "narrows"),
        ("protect = true", "protect", True, "neutral"),
        ("subject_user_id = 'eve'", "subjectUserId", "eve", "neutral"),
        ("managed = false", "managed", False, "neutral"),
        ("spec_digest = 'sha256:0'", "digest", "sha256:0", "neutral"),
    ],
)
def test_a_column_changed_by_hand_is_told_and_put_back(
    mosaic: Quick, change: str, path: str, value: object, effect: str
) -> None:
    by_hand(mosaic, f"UPDATE federation_grants SET {change} WHERE name = 'x'")
    drift = one(mosaic)
    (field,) = drift["fields"]
    assert (field["path"], field["found"], field["effect"]) == (path, value, effect)
    assert drift["changedBy"]["role"]
    assert mosaic("drift", "--detailed-exitcode").code == 2
    refused = mosaic("drift", "--revert")
    assert (refused.code, "--yes" in refused.err) == (64, True)
    mosaic.ok("drift", "--revert", "--yes", "grant/x")
    assert mosaic.document("drift") == []
    assert mosaic.document("plan")["changes"] == []
    (entry,) = mosaic.rows.audited("grant.reverted")
    data = json.loads(entry["body"])["data"]
    assert data["spec"]["expiresAt"] == "2036-06-30T00:00:00Z"
    mosaic.ok("audit", "verify")


_TASKS = '{"type": "tasks", "verbs": ["list", "get"]}'
_LISTED = '{"type": "tasks", "verbs": ["list"]}'


@pytest.mark.parametrize(
    ("resources", "effect"),
    [
        (f"{_TASKS}, {_LISTED}", "neutral"),
        (f"{_LISTED}, {_TASKS}", "neutral"),
        ('{"type": "tasks", "verbs": [["list"]]}', "narrows"),
        ('{"type": ["tasks"], "verbs": ["list"]}', "narrows"),
        (f"[{_TASKS}]", "narrows"),
        ('{"type": "tasks", "verbs": ["list"], "filter": {"teams": [["a"]]}}', "narrows"),
    ],
    ids=["listed twice", "narrower first", "verb", "type", "resource", "team"],
)
def test_a_scope_that_no_manifest_can_say_is_told_and_put_back(
    mosaic: Quick, resources: str, effect: str
) -> None:
    scope = f'{{"resources": [{resources}], "maxRowsPerQuery": 500}}'
    statement = f"UPDATE federation_grants SET scope = '{scope}' WHERE name = 'x'"
    by_hand(mosaic, statement)
    field = one(mosaic)["fields"][0]
    assert (field["path"], field["effect"]) == ("scope.resources[tasks]", effect)
    mosaic.ok("status")
    mosaic.ok("drift", "--revert", "--yes")
    assert mosaic.document("drift") == []
    by_hand(mosaic, statement)
    mosaic.ok("apply", "--yes")
    assert mosaic.document("drift") == []
    assert mosaic.grant("x")["scope"]["resources"] == [json.loads(_TASKS)]


def test_the_grant_of_a_peer_that_was_ended_by_hand_is_replaced_with_it(mosaic: Quick) -> None:
    ended = "UPDATE federation_peers SET status = 'revoked', revoked_at = now()"
    by_hand(mosaic, ended)
    actions = [(each["action"], each["name"]) for each in mosaic.document("plan")["changes"]]
    assert actions == [("replace", "x"), ("create", "beta")]
    mosaic.ok("apply", "--yes")
    on_live_peers = mosaic.rows.rows(
        "SELECT g.name FROM federation_grants AS g JOIN federation_peers AS p ON p.id = g.peer_id"
        " WHERE g.status = 'pending' AND p.status <> 'revoked'"
    )
    assert on_live_peers == [{"name": "x"}]
    assert mosaic.document("plan")["changes"] == []


def test_a_label_that_is_no_text_is_put_back(mosaic: Quick) -> None:
    by_hand(mosaic, """UPDATE federation_peers SET labels = '{"a": ["x"]}'""")
    mosaic.ok("apply", "--yes")
    assert mosaic.document("drift") == []


@pytest.mark.parametrize(
    ("name", "value"), [("at", None), ("at", "2026-13-45T99:99:99Z"), ("by", 1), ("reason", None)]
)
def test_a_hold_that_is_unreadable_stops_nothing_but_its_grant(
    mosaic: Quick, name: str, value: object
) -> None:
    hold = {"kind": "suspend", "by": "x", "at": "2026-11-01T00:00:00Z", "reason": "y", name: value}
    by_hand(mosaic, f"UPDATE federation_grants SET hold = '{json.dumps(hold)}' WHERE name = 'x'")
    assert "suspended by" in mosaic.ok("plan").out
    for words in (("status",), ("grant", "list"), ("grant", "show", "x"), ("apply", "--yes")):
        mosaic.ok(*words)
    assert one(mosaic)["fields"][0]["path"] == "hold"
    mosaic.ok("drift", "--revert", "--yes")
    assert mosaic.document("drift") == []


def test_drift_as_json_is_the_contract_field_by_field(mosaic: Quick) -> None:
    by_hand(mosaic, f"UPDATE federation_grants SET scope = '{_SCOPE}' WHERE name = 'x'")
    drift = one(mosaic)
    assert tuple(drift) == (
        *("kind", "name", "grant", "what", "fields", "changedBy", "source", "remedy"),
    )
    assert (drift["kind"], drift["name"], drift["what"]) == ("Grant", "x", "changed")
    assert drift["source"] == {"path": "x.yaml", "line": 4}
    assert tuple(drift["changedBy"]) == ("role", "application", "address", "at")
    assert [tuple(each) for each in drift["fields"]] == [
        ("path", "applied", "found", "effect")
    ] * len(drift["fields"])
    assert mosaic.document("drift", "peer/beta") == []
    assert mosaic("drift", "grant/nobody").code == 1


def test_a_plan_restores_what_git_declares_whatever_the_stored_digest_says(mosaic: Quick) -> None:
    by_hand(mosaic, "UPDATE federation_grants SET expires_at = '2037-01-01Z' WHERE name = 'x'")
    plan = mosaic.document("plan")
    (change,) = plan["changes"]
    assert change["action"] == "update"
    assert change["reason"].startswith("changed by hand by ")
    assert "changed_by_hand" in [note["note"] for note in plan["notes"]]
    mosaic.ok("apply", "--yes")
    assert mosaic.document("drift") == []
    assert mosaic.grant("x")["expiresAt"] == "2036-06-30T00:00:00Z"


def test_a_digest_forged_with_the_column_hides_nothing(mosaic: Quick) -> None:
    by_hand(
        mosaic,
        "UPDATE federation_grants SET protect = true, spec_digest = 'sha256:1' WHERE name = 'x'",
    )
    assert {field["path"] for field in one(mosaic)["fields"]} == {"protect", "digest"}
    assert mosaic.document("plan")["changes"]
    mosaic.ok("apply", "--yes")
    assert mosaic.document("drift") == []


def test_without_the_trigger_the_change_is_seen_and_nobody_is_named(mosaic: Quick) -> None:
    by_hand(
        mosaic,
        "ALTER TABLE federation_grants DISABLE TRIGGER federation_grants_by_hand",
        "UPDATE federation_grants SET protect = true WHERE name = 'x'",
        "ALTER TABLE federation_grants ENABLE TRIGGER federation_grants_by_hand",
    )
    assert one(mosaic)["changedBy"] is None
    assert "no trigger recorded who" in mosaic.ok("drift").out


def test_a_hold_erased_by_hand_is_put_back(mosaic: Quick) -> None:
    mosaic.ok("grant", "suspend", "x", "--reason", "looks odd")
    by_hand(mosaic, "UPDATE federation_grants SET hold = NULL WHERE name = 'x'")
    (field,) = one(mosaic)["fields"]
    assert (field["path"], field["effect"]) == ("hold", "widens")
    mosaic.ok("drift", "--revert", "--yes")
    assert mosaic.grant("x")["hold"]["reason"] == "looks odd"
    assert mosaic.document("drift") == []


def test_a_row_inserted_by_hand_is_revoked(mosaic: Quick) -> None:
    by_hand(
        mosaic,
        "INSERT INTO federation_grants (id, name, peer_id, subject_user_id, scope, lifetime,"
        " expires_at, spec_digest) SELECT gen_random_uuid(), 'evil', peer_id, 'eve', scope,"
        " lifetime, expires_at, spec_digest FROM federation_grants WHERE name = 'x'",
    )
    assert (one(mosaic)["name"], one(mosaic)["what"]) == ("evil", "inserted")
    mosaic.ok("drift", "--revert", "--yes")
    assert mosaic.statuses()["evil"] == "revoked"
    assert mosaic.document("drift") == []


def test_the_records_of_certificates_that_have_ended_are_not_read(mosaic: Quick) -> None:
    enroll(mosaic, "x")

    def kinds() -> set[str]:
        with mosaic.rows.database.transaction() as tx:
            return {each.kind for each in records(tx, 0)}

    assert "certificate.issued" in kinds()
    assert "token.minted" not in kinds(), "it says nothing of a state"
    for table, moment in (("audit_log", "at"), ("certificates", "not_after")):
        mosaic.rows.tamper(f"UPDATE federation_{table} SET {moment} = {moment} - interval '9 days'")
    assert kinds() == {"peer.created", "grant.created", "grant.enrolled"}
    assert mosaic.document("drift") == []


def test_a_detector_that_remembers_finds_what_a_new_one_does(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.store.drift.detector.LOG_AGAIN_S", 0.0)
    write(mosaic.cwd / "manifests", y=grant_manifest("y"))
    detector = DriftDetector()
    counts = []

    def look() -> None:
        with mosaic.rows.database.transaction() as tx:
            first = [each.as_json() for each in detector.drifted(tx)]
            assert first == [each.as_json() for each in DriftDetector().drifted(tx)]
        counts.append(len(first))

    look()
    mosaic.ok("apply", "--yes")
    look()
    for statement in (
        f"UPDATE federation_grants SET scope = '{_SCOPE}' WHERE name = 'x'",
        "UPDATE federation_peers SET name = 'gamma'",  # which the specs of grants name too
        "UPDATE federation_grants SET name = 'z' WHERE name = 'y'",
        "UPDATE federation_grants SET name = 'y' WHERE name = 'x'",  # what y could be named again
        "UPDATE federation_grants SET name = 'x' WHERE name = 'y'",
    ):
        by_hand(mosaic, statement)
        look()
    mosaic.ok("drift", "--revert", "--yes")
    look()
    enroll(mosaic, "x")
    look()
    for status in ("revoking", "revoked"):
        by_hand(
            mosaic,
            f"UPDATE federation_certificates SET status = '{status}', revoked_at = now()",
        )
        look()
    mosaic.ok("grant", "suspend", "y")
    mosaic.ok("drift", "--revert", "--yes")
    mosaic.ok("grant", "revoke", "x", "--yes")
    look()
    assert counts == [0, 0, 1, 3, 3, 3, 3, 0, 0, 1, 1, 0]
    tampered = "UPDATE federation_audit_log SET body = replace(body, '500', '7') WHERE seq <= 2"
    mosaic.rows.tamper(tampered)
    look()
    mosaic.rows.tamper("DELETE FROM federation_audit_log WHERE seq > 2")
    look()
    assert counts[-2:] != [0, 0], "the log says otherwise now"
