"""`audit archive`: records leave the database for a file, and nothing answers otherwise."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.audit.events import ReconcilerPaused
from reconciler.core.audit.record_lines import certificate_line
from reconciler.errors import Refused
from reconciler.loops.checkpoints import Checkpoints
from reconciler.operations.audit.archive import archive_records
from reconciler.store.audit import log as audit
from reconciler.store.audit.removal import records_before
from reconciler.store.drift.detector import DriftDetector
from reconciler.store.migrate import upgrade
from reconciler.web.private.pages import documents
from reconciler.web.private.pages.query import Query
from tests.support.commands.audit_log import archive, newest
from tests.support.commands.elsewhere import elsewhere, with_provisioners
from tests.support.commands.killed import run_and_kill
from tests.support.commands.process import write
from tests.support.database.records import enroll
from tests.support.gateways.enrollee import Rows, grant_manifest
from tests.support.gateways.private_server import serving_private

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick


def exported(mosaic: Quick, *words: str) -> list[dict[str, Any]]:
    out = mosaic.ok("audit", "list", *words, "--after", "0", "-o", "jsonl").out
    return [json.loads(line) for line in out.splitlines()]


def answers(mosaic: Quick) -> dict[str, Any]:
    """Return what no archive may change."""
    status = mosaic.document("status")
    return {
        "drift": mosaic.document("drift"),
        "grants": mosaic.document("grant", "list"),
        "at": mosaic.document("at", "0s")["grants"],
        "status": {name: each for name, each in status.items() if name != "now"},
    }


def test_what_is_archived_is_in_the_file_and_nothing_answers_otherwise(mosaic: Quick) -> None:
    before, last, records = answers(mosaic), newest(mosaic), exported(mosaic)
    detector = DriftDetector()

    def remembered() -> list[dict[str, Any]]:
        with mosaic.rows.database.transaction() as tx:
            return [each.as_json() for each in detector.drifted(tx)]

    assert remembered() == before["drift"] != []
    run_id = mosaic.rows.one("SELECT id FROM federation_reconcile_runs")
    out = archive(mosaic, "old.jsonl", last)
    file = mosaic.cwd / "old.jsonl"
    assert f"moved {last - 1} records to {file}, sha256:" in out
    assert file.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line) for line in file.read_text().splitlines()] == records[:-1]
    assert mosaic.rows.one("SELECT min(seq) FROM federation_audit_log") == last
    assert answers(mosaic) == before
    assert remembered() == before["drift"]

    with mosaic.rows.database.transaction() as tx:
        page, log = documents.run(tx, Query({}), str(run_id)), documents.audit(tx, Query({}))
    assert (page["archived"], page["changes"], log["archive"]["last"]) == (True, [], last - 1)
    with serving_private(mosaic.rows.url) as running, running.client() as client:
        for path in ("/grants/x", "/peers/beta"):
            text = client.get(path).text
            assert f"The records up to {last - 1} are archived: " in text, path
            assert "Nothing is recorded" not in text, path
    assert f"the records up to {last - 1} " in mosaic("doctor").out

    archive(mosaic, "more.jsonl", last + 1)
    assert answers(mosaic) == before
    assert remembered() == before["drift"]
    mosaic.ok("drift", "--revert", "--yes")
    assert mosaic.document("drift") == remembered() == []
    assert mosaic.document("audit", "verify")["entries"] == newest(mosaic) - last
    files = [word for name in ("more", "old") for word in ("--archive", f"{name}.jsonl")]
    verified = mosaic.ok("audit", "verify", *files).out.splitlines()[0]
    assert verified == f"{newest(mosaic)} records verified, {last} of them in archives"
    assert exported(mosaic, *files)[:last] == records
    assert [each["seq"] for each in exported(mosaic, *files)] == list(range(1, newest(mosaic) + 1))


def test_what_needs_archived_records_says_so_and_answers_with_the_archive(mosaic: Quick) -> None:
    moments = {each["seq"]: each["at"] for each in exported(mosaic)}
    early, last = moments[4], newest(mosaic)
    granted = mosaic.document("at", early)
    mosaic.ok("audit", "checkpoint", "early")
    mosaic.ok("grant", "resume", "x")
    mosaic.ok("audit", "checkpoint", "late")
    archive(mosaic, "old.jsonl", last + 1)
    mosaic.ok("grant", "suspend", "x")
    archive(mosaic, "new.jsonl", "0s")

    files = ("--archive", "old.jsonl", "--archive", "new.jsonl")
    for words in (
        ("at", early),
        ("audit", "list", "--after", "2"),
        ("audit", "list", "--after", "2", "--follow"),
        ("audit", "verify", "--checkpoint", "early"),
    ):
        done = mosaic(*words)
        assert (done.code, done.out) == (1, ""), words
        assert "are archived" in done.err
        assert "--archive FILE..." in done.err
    assert mosaic.document("at", early, *files) == granted
    assert mosaic.document("at", early, "--archive", "old.jsonl") == granted
    shown = mosaic.ok("audit", "verify", *files, "--checkpoint", "early", "--checkpoint", "late")
    assert f"early: seq {last} is unchanged" in shown.out
    shows: list[tuple[str, ...]] = [("history",), ("explain", "grant", "x"), ("audit", "list")]
    notes = [mosaic.ok(*words).err for words in shows]
    assert all("are archived: `mosaic federation audit list" in each for each in notes)
    assert "are archived" in mosaic("history", "grant/x").err
    listed = mosaic.document("audit", "list", "--archive", "new.jsonl", "--limit", "3")
    assert [each["kind"] for each in listed[-3:]] == [
        *("audit.archived", "grant.suspended", "audit.archived"),
    ]
    mosaic.ok("audit", "checkpoint", "after")
    assert (
        json.loads((mosaic.cwd / "after").read_text())["log"]
        == json.loads((mosaic.cwd / "early").read_text())["log"]
    )


def test_kill_9_at_any_step_loses_no_record_and_the_command_continues(mosaic: Quick) -> None:
    records, last, step, killed = exported(mosaic), newest(mosaic), 0, True
    words = ("audit", "archive", "old.jsonl", "--before", str(last + 1), "--yes")
    while killed:
        step += 1
        killed = run_and_kill(mosaic, mosaic.cwd, step, *words)
        file = mosaic.cwd / "old.jsonl"
        if mosaic.rows.one("SELECT min(seq) FROM federation_audit_log") != 1:
            break
        assert exported(mosaic) == records
    assert step > 4
    assert [json.loads(line) for line in file.read_text().splitlines()] == records
    mosaic.ok("audit", "verify", "--archive", "old.jsonl")
    assert not [each for each in mosaic.cwd.iterdir() if each.name.endswith(".partial")]


def test_what_cannot_be_archived_is_refused_and_changes_nothing(mosaic: Quick) -> None:
    (mosaic.cwd / "note").write_text("hello\n")
    last = newest(mosaic)
    archive(mosaic, "old.jsonl", 3)
    for words, code, reason in (
        (("old.jsonl", "--before", "5"), 1, "old.jsonl exists: "),
        (("note", "--before", "5"), 1, "note exists: "),
        (("no/where", "--before", "5"), 1, "no/where cannot be written"),
        (("new", "--before", "3"), 1, "the database has no audit record before record 3"),
        (("new", "--before", "2020-01-01"), 1, "has no audit record before 2020-01-01T00:00:00Z"),
        (("new", "--before", "soon"), 64, "expected a time"),
        (("new",), 64, "--before"),
    ):
        done = mosaic("audit", "archive", *words, "--yes")
        assert (done.code, done.out) == (code, ""), done.err
        assert reason in done.err
    assert newest(mosaic) == last + 1
    mosaic.rows.tamper("UPDATE federation_audit_log SET actor = 'x' WHERE seq = 4")
    assert "breaks at seq 4" in mosaic("audit", "archive", "new", "--before", "6", "--yes").err
    assert not (mosaic.cwd / "new").exists()


def test_a_restored_log_begins_where_that_of_the_backup_does(
    mosaic: Quick, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.operations.backup.restore.SETTLE_S", 0.0)
    mosaic = with_provisioners(mosaic)
    drift = mosaic.document("drift")
    archive(mosaic, "old.jsonl", newest(mosaic))
    mosaic.ok("backup", "a.backup")
    mosaic.ok("grant", "resume", "x")
    archive(mosaic, "later.jsonl", newest(mosaic) + 1)

    with (mosaic.cwd / "later.jsonl").open("ab") as file:  # as archives end
        file.write(certificate_line({"serial": "1f"}))

    other = elsewhere(mosaic, empty_database_url)
    other.ok("restore", "a.backup", "--audit", "later.jsonl")
    assert other.document("drift") == drift
    other.ok("audit", "verify", "--archive", "old.jsonl")
    assert (
        "ends with record"
        in other("audit", "verify", "--archive", "old.jsonl", "--archive", "later.jsonl").err
    )


def test_two_archives_at_once_and_a_checkpoint_between_lose_nothing(mosaic: Quick) -> None:
    records = exported(mosaic)
    checkpoints = Checkpoints(mosaic.rows.database, mosaic.cwd / "kept", None)
    checkpoints.take(lambda: False)
    with mosaic.rows.database.transaction() as tx:
        ranges = [records_before(tx, seq) for seq in (4, 6)]
    for chosen, name in zip(ranges, "ab", strict=True):
        call = partial(archive_records, mosaic.rows.database, chosen, mosaic.cwd / name, "user:x")
        if name == "a":
            call()
            continue
        with pytest.raises(Refused, match="other records were archived meanwhile"):
            call()
    archive(mosaic, "c", "0s")
    mosaic.ok("grant", "resume", "x")
    checkpoints.take(lambda: False)
    taken = [json.loads(each.read_text()) for each in (mosaic.cwd / "kept").iterdir()]
    taken.sort(key=lambda each: int(each["seq"]))
    assert [each["seq"] for each in taken] == [len(records), newest(mosaic)]
    assert taken[0]["log"] == taken[1]["log"]
    assert exported(mosaic, "--archive", "a", "--archive", "c")[: len(records)] == records


def test_a_log_of_the_schema_before_archives_verifies(empty_database_url: str) -> None:
    database = Rows(empty_database_url).database
    upgrade(database, "0016")
    with database.transaction() as tx:
        audit.append(tx, "user:x", [ReconcilerPaused("x")])
        assert audit.verify(tx).chain_break is None


def test_the_texts_of_certificates_that_are_over_move_and_all_else_of_them_stays(
    mosaic: Quick,
) -> None:
    for name in ("y2", "z2"):
        write(mosaic.cwd / "manifests", **{name: grant_manifest(name)})
    mosaic.ok("apply", "--yes")
    for name in ("y2", "z2"):
        enroll(mosaic, name)
    revoked = "status = 'revoking' WHERE grant_id = (SELECT id FROM federation_grants WHERE name ="
    mosaic.rows.run(f"UPDATE federation_certificates SET {revoked} 'y2')")
    mosaic.rows.run(
        "UPDATE federation_certificates SET status = 'revoked', revoked_at = now(),"
        " not_before = now() - interval '3 days', not_after = now() - interval '2 days'"
        " WHERE status = 'revoking'"
    )
    texts = ("csr_pem", "cert_pem", "chain_pem", "answer")
    every = "SELECT * FROM federation_certificates ORDER BY serial"
    before, shown = mosaic.rows.rows(every), mosaic.document("grant", "show", "y2")
    (over,) = (row for row in before if row["status"] == "revoked")
    others = [row for row in before if row is not over]

    noted = mosaic.rows.one("SELECT count(*) FROM federation_hand_changes")
    done = mosaic.ok("audit", "archive", "old.jsonl", "--before", "0s", "--yes")
    assert mosaic.rows.one("SELECT count(*) FROM federation_hand_changes") == noted
    assert "the texts of 1 certificate that had ended by then, and are revoked" in done.err
    after = mosaic.rows.rows(every)
    assert [row for row in after if row["id"] != over["id"]] == others
    assert over | dict.fromkeys(texts, "") in after
    last = json.loads((mosaic.cwd / "old.jsonl").read_text().splitlines()[-1])
    assert last["certificate"] == {name: over[name] for name in ("serial", "fingerprint", *texts)}
    assert mosaic.document("grant", "show", "y2") == shown
    mosaic.ok("explain", "serial", over["serial"])
    mosaic.ok("audit", "verify", "--archive", "old.jsonl")
    assert len(exported(mosaic, "--archive", "old.jsonl")) == newest(mosaic)
