"""A command that is killed between files and rows: the next one finds both, or neither."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.issuance.invitation import parse_invitation
from reconciler.store import rollback_journal
from reconciler.store.file_change import FileChange
from tests.support.commands.in_process import GRANTED, Quick, invitation_of, shell
from tests.support.commands.killed import run_and_kill
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

FEWEST_STEPS: Final = 5  # the journal, a file, before and after the commit, the journal's end
COMMITTED: Final = 7  # the step of a grant create that comes right after the commit


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), a=grant_manifest("a"))
    made.ok("apply", "--yes")
    return made


def agree(mosaic: Quick, folder: str = "manifests") -> None:
    """Assert that nothing is left over, and that rows and files say the same."""
    left = [path.name for path in (mosaic.cwd / folder).rglob("*") if path.name.startswith(".")]
    assert left == []
    assert mosaic.document("plan")["changes"] == []


def test_a_grant_create_that_is_killed_is_finished_by_the_same_command(mosaic: Quick) -> None:
    for step in count(1):
        create = ("grant", "create", f"g{step}", *GRANTED)
        killed = run_and_kill(mosaic, mosaic.cwd / "manifests", step, *create)
        if not killed:
            assert step > FEWEST_STEPS
            return
        again = mosaic(*create, "--output", "json")
        if again.code:  # it was killed when all was done, before it printed the invitation
            invite = f"mosaic federation grant invite g{step}"
            assert invite in again.error["hint"]
            again = mosaic.ok("grant", "invite", f"g{step}", "--output", "json")
        assert mosaic.token_status(invitation_of(again.document).token) == "open"
        agree(mosaic)
        assert f"g{step}.yaml" in mosaic.manifests()
        assert mosaic.statuses()[f"g{step}"] == "pending"


def test_another_grant_create_than_the_killed_one_is_refused(mosaic: Quick) -> None:
    create = ("grant", "create", "g", *GRANTED)
    assert run_and_kill(mosaic, mosaic.cwd / "manifests", COMMITTED, *create)
    again = mosaic(*create, "--expires", "7d", "--output", "json")
    assert (again.code, again.error["code"]) == (1, "name_taken")
    agree(mosaic)


def test_a_killed_grant_create_is_undone_or_finished_by_the_next_apply(mosaic: Quick) -> None:
    for step in count(1):
        create = ("grant", "create", f"g{step}", *GRANTED)
        killed = run_and_kill(mosaic, mosaic.cwd / "manifests", step, *create)
        mosaic.ok("apply", "--yes")
        agree(mosaic)
        declared = f"g{step}.yaml" in mosaic.manifests()
        assert declared == (f"g{step}" in mosaic.statuses())
        open_tokens = mosaic.rows.one(
            "SELECT count(*) FROM federation_enrollment_tokens AS t"
            " JOIN federation_grants AS g ON g.id = t.grant_id WHERE g.name = :name",
            name=f"g{step}",
        )
        assert open_tokens == (1 if declared else 0), "rows that were applied without a token"
        if not killed:
            assert step > FEWEST_STEPS
            return


def test_a_rename_that_is_killed_is_finished_by_the_same_command(mosaic: Quick) -> None:
    serial = mosaic.enroll("a")
    name = "a"
    for step in count(1):
        new = f"n{step}"
        rename = ("rename", f"grant/{name}", new)
        killed = run_and_kill(mosaic, mosaic.cwd / "manifests", step, *rename)
        if killed:
            mosaic.ok(*rename)
        agree(mosaic)
        name = new
        assert mosaic.statuses() == {name: "active"}
        (certificate,) = mosaic.grant(name)["certificates"]
        assert (certificate["serial"], certificate["status"]) == (serial, "issued")
        if not killed:
            assert step > FEWEST_STEPS
            return


@pytest.mark.parametrize("stopped_at", ["_put_in_place", "write"])
def test_a_rename_that_was_stopped_until_another_command_undid_it_writes_nothing(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch, stopped_at: str
) -> None:
    serial = mosaic.enroll("a")
    holder = FileChange if stopped_at == "write" else rollback_journal
    go_on = getattr(holder, stopped_at)

    def stop(*arguments: object) -> None:
        monkeypatch.undo()
        mosaic.rows.run(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE application_name LIKE 'mosaic rename%'"
        )
        mosaic.process.ok("status")
        go_on(*arguments)

    monkeypatch.setattr(holder, stopped_at, stop)
    assert mosaic("rename", "grant/a", "orders").code == 5
    agree(mosaic)
    mosaic.ok("rename", "grant/a", "orders")
    agree(mosaic)
    (certificate,) = mosaic.grant("orders")["certificates"]
    assert (certificate["serial"], certificate["status"]) == (serial, "issued")


def test_a_killed_rename_of_many_files_is_undone_or_finished_by_the_next_apply(
    mosaic: Quick,
) -> None:
    write(mosaic.cwd / "manifests", b=grant_manifest("b"))
    mosaic.ok("apply", "--yes")
    peer = "beta"
    for step in count(1):
        new = f"p{step}"
        killed = run_and_kill(mosaic, mosaic.cwd / "manifests", step, "rename", f"peer/{peer}", new)
        assert "Nothing to do." in mosaic.ok("apply", "--yes").out
        agree(mosaic)
        (peer,) = mosaic.statuses("peer")
        if not killed:
            assert (step > FEWEST_STEPS, peer) == (True, new)
            return


def test_an_adoption_that_is_killed_is_finished_by_the_same_command(mosaic: Quick) -> None:
    for step in count(1):
        mosaic.rows.run(
            "UPDATE federation_grants SET scope = jsonb_set(scope, '{maxRowsPerQuery}',"
            " to_jsonb(CAST(:rows AS int)))",
            rows=step,
        )
        adopt = ("drift", "--adopt", "--yes")
        killed = run_and_kill(mosaic, mosaic.cwd / "manifests", step, *adopt)
        if killed:
            mosaic.ok(*adopt)
        agree(mosaic)
        assert mosaic.document("drift") == []
        assert mosaic.grant("a")["scope"]["maxRowsPerQuery"] == step
        if not killed:
            assert step > FEWEST_STEPS
            return


def test_an_apply_that_is_killed_leaves_each_new_grant_with_its_invitation(mosaic: Quick) -> None:
    handed = mosaic.cwd / "handed"
    handed.mkdir()
    for step in count(1):
        name = f"g{step}"
        write(mosaic.cwd / "manifests", **{name: grant_manifest(name)})
        apply = ("apply", "--yes", "--invite-dir", "handed")
        killed = run_and_kill(mosaic, handed, step, *apply)
        mosaic.ok(*apply)
        agree(mosaic)
        agree(mosaic, "handed")
        invitation = parse_invitation((handed / f"{name}.invitation").read_text())
        assert mosaic.token_status(invitation.token) == "open"
        assert len(list(handed.iterdir())) == step
        if not killed:
            assert step > FEWEST_STEPS
            return


def test_status_and_doctor_undo_or_finish_what_a_killed_command_left(mosaic: Quick) -> None:
    for verb in ("status", "doctor"):
        name = next(iter(mosaic.statuses()))
        new = f"{verb}-a"
        rename = ("rename", f"grant/{name}", new)
        assert run_and_kill(mosaic, mosaic.cwd / "manifests", 4, *rename)
        assert any(each.startswith(".mosaic") for each in mosaic.manifests())
        mosaic(verb)
        agree(mosaic)
        mosaic.ok(*rename)


def test_an_archive_undoes_what_the_log_could_not_tell_of_afterwards(mosaic: Quick) -> None:
    assert run_and_kill(mosaic, mosaic.cwd / "manifests", 4, "rename", "grant/a", "orders")
    for verb in ("suspend", "resume"):
        mosaic.ok("grant", verb, "a")
    newest = mosaic.rows.one("SELECT seq FROM federation_audit_head")
    mosaic.ok("audit", "archive", "old.jsonl", "--before", str(newest), "--yes")
    agree(mosaic)


def test_a_file_that_was_edited_after_the_kill_keeps_its_edit(mosaic: Quick) -> None:
    path = mosaic.cwd / "manifests/a.yaml"
    assert run_and_kill(mosaic, path.parent, 4, "rename", "grant/a", "orders")
    edited = path.read_text() + "# edited\n"
    path.write_text(edited)
    mosaic("status")
    assert path.read_text() == edited
    assert mosaic.manifests() == ["a.yaml", "beta.yaml"]
