"""An operator's holds: no apply and no loop undoes them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.loops.run import After, Loop
from reconciler.loops.triggers import Triggers
from reconciler.store.locks import locked
from tests.support.commands.in_process import Quick, invitation_of, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside a source that is applied, with one active grant and one that is pending."""
    made = shell(tmp_path, database_url)
    write(
        tmp_path / "manifests",
        beta=peer_manifest(),
        tasks=grant_manifest("beta-tasks"),
        notes=grant_manifest("beta-notes"),
    )
    made.ok("apply", "--yes")
    made.rows.run(
        "UPDATE federation_grants SET status = 'active', activated_at = clock_timestamp()"
        " WHERE name = 'beta-tasks'"
    )
    return made


def reconcile(mosaic: Quick) -> list[Any]:
    """Apply and let a loop pass; return the notes of the plan, and insist that nothing changed."""
    applied = mosaic.document("apply", "--yes")
    assert applied["changes"] == []
    source = SourceSetting(str(mosaic.cwd / "manifests"))
    loop = Loop(mosaic.rows.database, Triggers(source), "loop:tests")
    assert loop.one_pass() is After.WAIT
    assert loop.trouble == ""
    notes: list[Any] = applied["notes"]
    return notes


def test_a_suspended_grant_stays_suspended_until_it_is_resumed(mosaic: Quick) -> None:
    suspended = mosaic.document("grant", "suspend", "beta-tasks", "--reason", "a leak")
    assert (suspended["status"], suspended["suspended"]) == ("suspended", False)
    hold = suspended["hold"]
    assert (hold["kind"], hold["reason"]) == ("suspend", "a leak")
    assert hold["by"].startswith("user:")
    (note,) = reconcile(mosaic)
    assert (note["name"], note["command"]) == (
        "beta-tasks",
        "mosaic federation grant resume beta-tasks",
    )
    assert mosaic.grant("beta-tasks") == suspended
    assert "grant resume beta-tasks" in mosaic.ok("plan").out
    resumed = mosaic.document("grant", "resume", "beta-tasks")
    assert (resumed["status"], resumed["hold"]) == ("active", None)
    assert reconcile(mosaic) == []


def test_a_second_hold_replaces_the_first_only_with_a_reason(mosaic: Quick) -> None:
    first = mosaic.document("grant", "suspend", "beta-tasks", "--reason", "a leak")["hold"]
    assert mosaic.document("grant", "suspend", "beta-tasks")["hold"] == first
    assert len(mosaic.rows.audited("grant.suspended")) == 1
    again = mosaic.document("grant", "suspend", "beta-tasks", "--reason", "a theft")
    assert again["hold"]["reason"] == "a theft"


def test_a_hold_outlives_a_change_in_git(mosaic: Quick) -> None:
    mosaic.ok("grant", "suspend", "beta-tasks")
    write(mosaic.cwd / "manifests", tasks=grant_manifest("beta-tasks", rows=9))
    mosaic.ok("apply", "--yes")
    after = mosaic.grant("beta-tasks")
    assert (after["status"], after["scope"]["maxRowsPerQuery"]) == ("suspended", 9)
    assert after["hold"]["kind"] == "suspend"


def test_what_git_suspends_is_resumed_in_git(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", tasks=grant_manifest("beta-tasks", suspended="true"))
    mosaic.ok("apply", "--yes")
    assert mosaic.grant("beta-tasks")["status"] == "suspended"
    refused = mosaic("grant", "resume", "beta-tasks")
    assert refused.code == 1
    assert "spec.suspended" in refused.err
    mosaic.ok("grant", "suspend", "beta-tasks")
    done = mosaic.ok("grant", "resume", "beta-tasks")
    assert "set spec.suspended to false in git" in done.out
    assert mosaic.grant("beta-tasks")["status"] == "suspended"
    write(mosaic.cwd / "manifests", tasks=grant_manifest("beta-tasks"))
    mosaic.ok("apply", "--yes")
    assert mosaic.grant("beta-tasks")["status"] == "active"


def test_a_pending_grant_that_is_suspended_stays_pending_and_says_what_follows(
    mosaic: Quick,
) -> None:
    done = mosaic.ok("grant", "suspend", "beta-notes")
    assert done.out.splitlines() == [
        "grant/beta-notes is pending",
        "  it will be suspended once its peer enrolls",
    ]
    assert "pending (will be suspended)" in mosaic.ok("grant", "list").out
    assert mosaic.document("grant", "resume", "beta-notes")["status"] == "pending"


def test_a_revoked_grant_stays_revoked_until_it_is_resumed_and_applied_anew(
    mosaic: Quick,
) -> None:
    token = invitation_of(mosaic.document("grant", "invite", "beta-tasks")).token
    first = mosaic.grant("beta-tasks")["id"]
    revoked = mosaic.document("grant", "revoke", "beta-tasks", "--yes", "--reason", "left us")
    assert (revoked["status"], revoked["revokedReason"]) == ("revoked", "left us")
    assert revoked["hold"]["kind"] == "revoke"
    assert mosaic.token_status(token) == "void"
    (note,) = reconcile(mosaic)
    assert note["note"] == "held_revoked"
    assert "left us" in note["detail"]
    assert mosaic.grant("beta-tasks") == {**revoked, "managed": True}
    resumed = mosaic.ok("grant", "resume", "beta-tasks")
    assert "the next apply creates it again" in resumed.out
    assert mosaic.grant("beta-tasks")["status"] == "revoked"
    mosaic.ok("apply", "--yes")
    again = mosaic.grant("beta-tasks")
    assert again["status"] == "pending"
    assert again["id"] != first
    assert [each["status"] for each in mosaic.document("grant", "list")] == [
        "pending",
        "revoked",
        "pending",
    ]


def test_a_revoked_name_is_free_again_once_its_manifest_has_left_git(mosaic: Quick) -> None:
    mosaic.ok("grant", "revoke", "beta-tasks", "--yes")
    text = (mosaic.cwd / "manifests" / "tasks.yaml").read_text()
    (mosaic.cwd / "manifests" / "tasks.yaml").unlink()
    assert reconcile(mosaic) == []
    assert mosaic.grant("beta-tasks")["hold"] is None
    write(mosaic.cwd / "manifests", tasks=text)
    mosaic.ok("apply", "--yes")
    assert mosaic.grant("beta-tasks")["status"] == "pending"


def test_a_revoked_peer_takes_its_grants_along_and_stays_away(mosaic: Quick) -> None:
    revoked = mosaic.document("peer", "revoke", "beta", "--yes", "--reason", "merged")
    assert (revoked["status"], revoked["grants"]) == ("revoked", [])
    assert revoked["hold"]["reason"] == "merged"
    assert mosaic.statuses() == {"beta-notes": "revoked", "beta-tasks": "revoked"}
    notes = reconcile(mosaic)
    assert {note["note"] for note in notes} == {"held_revoked"}
    assert mosaic.statuses("peer") == {"beta": "revoked"}
    for name in ("beta", "tasks", "notes"):
        (mosaic.cwd / "manifests" / f"{name}.yaml").unlink()
    mosaic.ok("apply", "--yes")  # nothing is managed any more: an empty source removes nothing
    write(mosaic.cwd / "manifests", beta=peer_manifest())
    mosaic.ok("apply", "--yes")
    assert mosaic.document("peer", "show", "beta")["status"] == "pending"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("grant", "suspend", "nobody"), "name_unknown"),
        (("grant", "resume", "beta-tasks"), "state_conflict"),
        (("grant", "revoke", "nobody", "--yes"), "name_unknown"),
        (("peer", "revoke", "nobody", "--yes"), "name_unknown"),
        (("grant", "revoke", "beta-tasks"), "confirmation_needed"),
        (("peer", "revoke", "beta"), "confirmation_needed"),
    ],
)
def test_a_hold_that_cannot_be_placed_says_why(
    mosaic: Quick, arguments: tuple[str, ...], code: str
) -> None:
    done = mosaic(*arguments, "--output", "json")
    assert done.error["code"] == code
    assert done.code == (64 if code == "confirmation_needed" else 1)
    assert mosaic.statuses() == {"beta-notes": "pending", "beta-tasks": "active"}


def test_what_has_ended_is_not_held_again(mosaic: Quick) -> None:
    mosaic.ok("peer", "revoke", "beta", "--yes")
    for arguments in (
        ("grant", "suspend", "beta-tasks"),
        ("grant", "revoke", "beta-tasks", "--yes"),
        ("peer", "revoke", "beta", "--yes"),
    ):
        done = mosaic(*arguments, "--output", "json")
        assert (done.code, done.error["code"]) == (1, "state_conflict")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_a_person_is_asked_before_a_revocation(mosaic: Quick, answer: str, code: int) -> None:
    done = mosaic.at_terminal("grant", "revoke", "beta-tasks", typed=answer)
    assert done.code == code
    assert "Revoke grant beta-tasks and its certificates permanently? [y/N]" in done.out
    assert mosaic.grant("beta-tasks")["status"] == ("revoked" if code == 0 else "active")


def test_a_hold_waits_for_the_lock_no_longer_than_it_is_told(mosaic: Quick) -> None:
    with locked(mosaic.rows.database, timedelta(seconds=5)):
        done = mosaic("grant", "suspend", "beta-tasks", "--wait-lock", "1s")
    assert (done.code, mosaic.grant("beta-tasks")["status"]) == (4, "active")


def test_each_hold_leaves_an_audit_entry_with_who_and_why(mosaic: Quick) -> None:
    mosaic.ok("grant", "suspend", "beta-tasks", "--reason", "a leak")
    mosaic.ok("grant", "resume", "beta-tasks")
    mosaic.ok("grant", "revoke", "beta-tasks", "--yes")
    entries = mosaic.document("audit", "list", "--subject", "grant/beta-tasks")[-3:]
    assert [each["kind"] for each in entries] == [
        "grant.suspended",
        "grant.resumed",
        "grant.revoked",
    ]
    assert entries[0]["data"]["reason"] == "a leak"
    assert "records verified\n" in mosaic.ok("audit", "verify").out


def test_a_suspension_of_a_grant_that_ended_is_not_lifted_for_the_one_that_followed(
    mosaic: Quick,
) -> None:
    mosaic.ok("grant", "suspend", "beta-tasks", "--reason", "a leak")
    mosaic.rows.run(
        "UPDATE federation_grants SET expires_at = clock_timestamp() WHERE name = 'beta-tasks'"
    )
    mosaic.ok("apply", "--yes")
    assert mosaic.grant("beta-tasks")["hold"] is None
    done = mosaic("grant", "resume", "beta-tasks")
    assert done.code == 1
    assert "grant 'beta-tasks' has no hold: it is pending" in done.err


def test_resume_of_a_grant_that_git_revoked_says_how_it_is_created_again(mosaic: Quick) -> None:
    (mosaic.cwd / "manifests" / "tasks.yaml").unlink()
    mosaic.ok("apply", "--yes")
    done = mosaic("grant", "resume", "beta-tasks")
    assert done.code == 1
    assert "grant 'beta-tasks' has no hold: it is revoked" in done.err
    assert "declare it, and apply" in done.err
    assert "spec.suspended" not in done.err


@pytest.mark.parametrize("verb", ["invite", "suspend", "resume"])
def test_what_keeps_a_grant_from_being_created_again_is_told(mosaic: Quick, verb: str) -> None:
    """An apply alone would create neither: its end has passed, or its peer is held."""
    mosaic.rows.run(
        "UPDATE federation_grants SET expires_at = clock_timestamp() WHERE name = 'beta-tasks'"
    )
    done = mosaic("grant", verb, "beta-tasks")
    assert (done.code, "declare a later expiresAt, and apply" in done.err) == (1, True), done.err

    mosaic.ok("peer", "revoke", "beta", "--yes")
    done = mosaic("grant", verb, "beta-tasks")
    assert (done.code, "remove the manifest of the peer 'beta', which" in done.err) == (1, True)
