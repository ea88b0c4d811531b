"""`apply`: what it asks, that it does exactly that or nothing, and what a failure leaves."""

from __future__ import annotations

import errno
import os
import pty
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.cli.shared.summary import summarised
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside `m`, a folder that declares one peer and one grant."""
    write(tmp_path / "m", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    return shell(tmp_path, database_url)


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


def test_a_plan_that_a_person_looks_at_is_stale_once_the_rows_change(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    write(mosaic.cwd / "m", a=grant_manifest("a", rows=7))

    def meanwhile() -> None:
        write(mosaic.cwd / "m", a=grant_manifest("a", rows=8))
        mosaic.ok("apply", "m", "--yes")

    code, shown = answer_at_prompt(mosaic, "y\n", meanwhile)
    assert code == 5
    assert "nothing was changed; review a new plan" in shown
    assert mosaic.grant("a")["scope"]["maxRowsPerQuery"] == 8


def test_a_person_may_approve_exactly_what_was_shown(mosaic: Quick) -> None:
    write(mosaic.cwd / "m", notes=grant_manifest("beta-notes", rows=7))

    def meanwhile() -> None:
        write(mosaic.cwd / "m", notes=grant_manifest("beta-notes", rows=8))

    code, shown = answer_at_prompt(mosaic, "y\n", meanwhile)
    assert code == 0, shown
    assert mosaic.grant("beta-notes")["scope"]["maxRowsPerQuery"] == 7  # read before


def answer_at_prompt(mosaic: Quick, answer: str, meanwhile: Any) -> tuple[int, str]:
    """Run `apply` on a terminal; do `meanwhile` once it asks, then answer."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "apply", "m"],
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
        code = process.wait(PATIENCE_S)
    os.close(ours)
    return code, shown.decode()


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
    assert "`mkdir -p " in done.err
    assert mosaic.statuses() == {"beta-tasks": "pending"}


def test_an_apply_is_recorded_and_the_chain_verifies(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    entries: list[dict[str, Any]] = mosaic.document("audit", "list")
    assert [each["kind"] for each in entries] == ["peer.created", "grant.created"]
    assert all(each["actor"].startswith("user:") for each in entries)
    assert [set(each) for each in entries] == [
        {"seq", "at", "kind", "actor", "subject", "data", "login", "prev", "hash"}
    ] * 2
    assert len(mosaic.document("audit", "list", "--subject", "grant/beta-tasks")) == 1
    assert mosaic.ok("audit", "verify").out.startswith("2 records verified\n")


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


def test_a_failure_after_the_plan_says_that_nothing_is_done_why_and_what_is_left(
    mosaic: Quick,
) -> None:
    mosaic.rows.run("ALTER TABLE federation_grants ADD CHECK (name <> 'beta-tasks') NOT VALID")
    code, shown = answer_at_prompt(mosaic, "y\n", lambda: None)
    assert code == 1
    assert "Summary: done: nothing. Failed: an unexpected error." in shown
    assert shown.count("the database refused a statement") == 1
    assert "Not attempted: 2 changes." in shown
    assert "nothing was changed: the same command can be run again at once" in shown
    assert mosaic.statuses("peer") == {}
    mosaic.rows.run("ALTER TABLE federation_grants DROP CONSTRAINT federation_grants_name_check")
    mosaic.ok("apply", "m", "--yes")


def test_every_failure_has_a_summary_wherever_it_comes_from(mosaic: Quick) -> None:
    mosaic.ok("apply", "m", "--yes")
    write(mosaic.cwd / "bad", tasks="kind: Nothing\n")
    (mosaic.cwd / "empty").mkdir()
    for arguments, why in (
        (("bad", "--yes"), "the manifests are invalid"),
        (("missing", "--yes"), "the source cannot be read"),
        (("empty", "--yes", "--output", "json"), "the source has no manifest"),
        (("empty",), "the guard refuses it"),
    ):
        done = mosaic("apply", *arguments)
        item = next(line for line in done.err.splitlines() if line.startswith("Summary: "))
        assert item.startswith("Summary: done: nothing. Failed: ")
        assert why in item
        assert item.endswith("Not attempted: every change.")
        assert "  nothing was changed\n" in done.err
    assert "Summary" not in mosaic("apply", "m/tasks.yaml").err  # nothing was attempted


def test_a_summary_names_a_fault_of_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="Read-only"), summarised():
        raise OSError(errno.EROFS, "Read-only file system")
    assert "Failed: Read-only file system. Not attempted" in capsys.readouterr().err


def test_an_interruption_of_the_output_says_that_all_is_committed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def apply() -> None:
        with summarised() as progress:
            progress.planned, progress.committed = 3, True
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply()
    told = capsys.readouterr().err
    assert "done: 3 changes. Failed: interrupted. Not attempted: the rest of the output." in told
    assert "every change is committed" in told


def test_a_connection_that_is_lost_at_the_commit_leaves_it_open_what_is_done(
    mosaic: Quick,
) -> None:
    rows = mosaic.rows
    rows.run(
        "CREATE FUNCTION lost() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    )
    rows.run(
        "CREATE CONSTRAINT TRIGGER lost AFTER INSERT ON federation_grants"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lost()"
    )
    flags = ("--yes", "--invite-dir", "out", "--output", "json")
    done = mosaic("apply", "m", *flags)
    assert (done.code, done.error["code"]) == (1, "database_unavailable")
    assert "lost at the commit: either all changes were made, or none" in done.error["message"]
    assert "Summary: done: everything, or nothing." in done.err
    rows.run("DROP TRIGGER lost ON federation_grants")
    mosaic.ok("apply", "m", *flags)
    assert [each.name for each in (mosaic.cwd / "out").iterdir()] == ["beta-tasks.invitation"]


def test_invitations_are_not_printed_into_a_comment(mosaic: Quick) -> None:
    flags = ("--yes", "--output", "markdown")
    done = mosaic("apply", "m", *flags, "--invite")
    assert done.code == 64
    assert "--invite-dir" in done.err
    result = mosaic.ok("apply", "m", *flags, "--invite-dir", "out")
    assert "### Plan: 2 to add" in result.out
    assert "Applied: 2 added" in result.out
    assert "mosf1_" not in result.out + result.err
