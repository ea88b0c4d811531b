"""Invitations: one that works a grant, printed once, or written where only its owner reads."""

from __future__ import annotations

from reconciler.core.issuance.invitation import parse_invitation
from tests.support.commands.in_process import PUBLIC_URL, Quick, invitation_of
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest


def test_a_new_invitation_voids_the_one_before(mosaic: Quick) -> None:
    first = invitation_of(mosaic.create("beta-tasks"))
    again = mosaic.document("grant", "invite", "beta-tasks")
    second = invitation_of(again)
    assert first.token != second.token
    assert (mosaic.token_status(first.token), mosaic.token_status(second.token)) == (
        "void",
        "open",
    )
    assert {**again, "invitation": None} == {**mosaic.grant("beta-tasks"), "invitation": None}
    printed = mosaic.ok("grant", "invite", "beta-tasks").out
    assert parse_invitation(printed).url() == printed.strip(), "the bare URL, to be piped"
    assert mosaic.token_status(second.token) == "void"


def test_an_active_grant_can_be_invited_and_one_that_ended_cannot(mosaic: Quick) -> None:
    mosaic.create("beta-tasks")
    mosaic.rows.run(
        "UPDATE federation_grants SET status = 'active', activated_at = clock_timestamp()"
    )
    mosaic.ok("grant", "invite", "beta-tasks")
    assert mosaic.grant("beta-tasks")["status"] == "active"
    mosaic.ok("grant", "revoke", "beta-tasks", "--yes")
    ended = mosaic("grant", "invite", "beta-tasks", "--output", "json")
    assert (ended.code, ended.error["code"]) == (1, "state_conflict")
    unknown = mosaic("grant", "invite", "beta-task", "--output", "json")
    assert (unknown.code, unknown.error["code"]) == (1, "name_unknown")
    assert "beta-tasks" in unknown.error["hint"]


def test_an_invitation_is_told_to_end_with_its_grant(mosaic: Quick) -> None:
    mosaic.create("beta-tasks", "--expires", "30m")
    invited = mosaic.document("grant", "invite", "beta-tasks", "--token-life", "2h")
    assert invited["invitation"]["expiresAt"].startswith(invited["expiresAt"].removesuffix("Z"))


def test_an_apply_that_invites_prints_each_invitation_once(mosaic: Quick) -> None:
    write(
        mosaic.cwd / "manifests",
        beta=peer_manifest(),
        tasks=grant_manifest("beta-tasks"),
        notes=grant_manifest("beta-notes"),
    )
    done = mosaic.ok("apply", "--yes", "--invite")
    assert done.out.count("mosf1_") == 2
    assert done.out.count("shown once") == 2
    again = mosaic.ok("apply", "--yes", "--invite")
    assert "mosf1_" not in again.out
    assert "no invitation was made" in again.err
    assert "grant invite NAME" in again.err


def test_invitations_as_files_are_for_their_owner_alone(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    applied = mosaic.ok("apply", "--yes", "--invite-dir", "handed", "--output", "json")
    assert "mosf1_" not in applied.out + applied.err
    (invited,) = applied.document["invitations"]
    assert set(invited) == {"grant", "expiresAt", "file"}
    (file,) = (mosaic.cwd / "handed").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("beta-tasks.invitation", 0o600)
    assert file.read_text().startswith(f"{PUBLIC_URL}/")


def test_an_invitation_that_cannot_be_written_leaves_the_rows_as_they_were(mosaic: Quick) -> None:
    write(
        mosaic.cwd / "manifests",
        beta=peer_manifest(),
        tasks=grant_manifest("beta-tasks"),
        notes=grant_manifest("beta-notes"),
    )
    handed = mosaic.cwd / "handed"
    handed.mkdir()
    (handed / "beta-tasks.invitation").write_text("an earlier one")
    taken = mosaic("apply", "--yes", "--invite-dir", "handed", "--output", "json")
    assert (taken.code, taken.error["code"]) == (1, "name_taken")
    assert [each.name for each in handed.iterdir()] == ["beta-tasks.invitation"]
    (mosaic.cwd / "file").write_text("")
    no_folder = mosaic("apply", "--yes", "--invite-dir", "file", "--output", "json")
    assert (no_folder.code, no_folder.error["code"]) == (1, "value_invalid")
    assert "--invite-dir" in no_folder.error["message"]
    assert mosaic.document("grant", "list") == []
    (handed / "beta-tasks.invitation").unlink()
    mosaic.ok("apply", "--yes", "--invite-dir", "handed")
    assert len(list(handed.iterdir())) == 2


def test_an_apply_that_is_asked_for_first_invites_as_well(mosaic: Quick) -> None:
    write(mosaic.cwd / "manifests", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    done = mosaic.at_terminal("apply", "--invite", typed="y\n")
    assert (done.code, done.out.count("mosf1_")) == (0, 1)


def test_a_replaced_grant_is_invited_anew_and_an_updated_one_is_not(mosaic: Quick) -> None:
    write(
        mosaic.cwd / "manifests",
        beta=peer_manifest(),
        tasks=grant_manifest("beta-tasks"),
        notes=grant_manifest("beta-notes"),
    )
    mosaic.ok("apply", "--yes")
    write(
        mosaic.cwd / "manifests",
        tasks=grant_manifest("beta-tasks", subject="other"),
        notes=grant_manifest("beta-notes", rows=9),
    )
    done = mosaic.ok("apply", "--yes", "--invite", "--output", "json").document
    assert [each["grant"] for each in done["invitations"]] == ["beta-tasks"]
