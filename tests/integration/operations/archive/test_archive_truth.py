"""Archives and their table that somebody altered, or may not: it is found, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.core.privileges import Role
from reconciler.errors import MosaicError
from tests.support.commands.audit_log import archive, newest
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.database.roles import rows_with_roles, session
from tests.support.gateways.enrollee import peer_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands.process import Ended


def alter(mosaic: Quick, name: str, change: Callable[[bytes], bytes]) -> str:
    content = (mosaic.cwd / "old.jsonl").read_bytes()
    (mosaic.cwd / name).write_bytes(change(content))
    return name


def test_an_altered_foreign_or_missing_archive_is_named(
    mosaic: Quick, empty_database_url: str
) -> None:
    archive(mosaic, "old.jsonl", 4)
    archive(mosaic, "new.jsonl", 6)
    (mosaic.cwd / "other").mkdir()
    foreign = shell(mosaic.cwd / "other", empty_database_url)
    foreign.ok("db", "upgrade")
    write(foreign.cwd / "manifests", beta=peer_manifest())
    foreign.ok("apply", "--yes")
    archive(foreign, "../foreign.jsonl", 2)

    def verify(*names: str) -> Ended:
        return mosaic("audit", "verify", *(w for name in names for w in ("--archive", name)))

    assert verify("new.jsonl", "old.jsonl").code == 0
    for names, reason in (
        (["old.jsonl"], "the records 4 to 5 are in none of the files"),
        (["new.jsonl"], "the records 1 to 3 are in none of the files"),
        (["foreign.jsonl", "new.jsonl"], "foreign.jsonl is of another gateway"),
        ([alter(mosaic, "a", lambda old: old.replace(b"beta", b"zeta", 1))], "a breaks at seq 1"),
        ([alter(mosaic, "b", lambda old: old.replace(b": ", b":  ", 1))], "b has the digest sha"),
        ([alter(mosaic, "c", lambda old: old[: old.index(b"\n") + 1])], "c ends with record 1"),
        ([alter(mosaic, "d", lambda old: old[:-9])], "d is no archive of an audit log: line 3"),
        (["none"], "none cannot be read"),
    ):
        done = verify(*names)
        assert (done.code, done.out) == (1, ""), names
        assert reason in done.err
        assert "new.jsonl" in done.err or names != ["old.jsonl"]


@pytest.mark.parametrize("named", [False, True])
def test_a_removal_that_no_record_names_is_found(mosaic: Quick, *, named: bool) -> None:
    if named:
        archive(mosaic, "old.jsonl", 3)
    row = mosaic.rows.rows("SELECT seq, hash, at FROM federation_audit_log WHERE seq = 4")[0]
    with mosaic.rows.database.transaction() as tx:  # as the owner can
        tx.run(
            "INSERT INTO federation_audit_archives (first_seq, last_seq, last_hash, log_hash,"
            " last_at, file, sha256, state) VALUES (:first, :seq, :hash, :hash, :at, 'x',"
            " 'sha256:' || repeat('0', 64), '{}')",
            **row,
            first=3 if named else 1,
        )
        tx.run("DELETE FROM federation_audit_log WHERE seq <= 4")
    for words in (("audit", "verify"), ("drift",), ("at", "0s")):
        done = mosaic(*words)
        assert (done.code, done.out) == (1, ""), words
        assert "breaks at seq 4: the records up to it are gone, and no later one says" in done.err


def test_what_is_stored_of_an_archive_cannot_be_changed_unseen(mosaic: Quick) -> None:
    archive(mosaic, "old.jsonl", newest(mosaic))
    mosaic.rows.run("UPDATE federation_audit_archives SET state = replace(state, 'beta', 'eve')")
    for words in (("audit", "verify"), ("drift",)):
        assert "no later one says that they were archived like this" in mosaic(*words).err
    with pytest.raises(MosaicError, match="refused"):
        mosaic.rows.run("DELETE FROM federation_audit_archives")


def test_only_the_owner_can_archive_and_nobody_removes_a_record_that_no_archive_has(
    tmp_path: Path, database_url: str
) -> None:
    rows = rows_with_roles(database_url)
    mosaic = shell(tmp_path, database_url)
    mosaic.variables["MOSAIC_STATE_DIR"] = str(tmp_path)
    for role in Role:
        with session(rows.url, role) as connection:
            for statement in (
                "DELETE FROM federation_audit_log",
                "INSERT INTO federation_audit_archives (first_seq, last_seq) VALUES (1, 2)",
            ):
                with pytest.raises(Exception, match="permission denied"):
                    connection.execute(statement)
    words = ("audit", "archive", "a", "--before", "3")
    url = f"{database_url}&options=-c%20role%3Dmosaic_operator"
    done = mosaic(*words, "--yes", MOSAIC_DATABASE_URL=url)
    assert (done.code, "only the owner of the tables can, mosaic" in done.err) == (78, True)
    done = mosaic(*words)
    assert (done.code, "there is no terminal" in done.err) == (64, True)
    assert not (tmp_path / "a").exists()
    seen = (tmp_path / "audit-head").read_bytes()
    archive(mosaic, "a", "0s")
    mosaic.ok("audit", "verify")
    (tmp_path / "audit-head").write_bytes(seen)  # as a process that has not run since then
    mosaic.ok("audit", "verify")
    with pytest.raises(MosaicError, match="refused: record 4 is in no archive"):
        rows.run("DELETE FROM federation_audit_log")
    oldest = rows.one("SELECT oldest_migration FROM federation_control")
    assert oldest >= "0017", "an older program would take the log for a broken one"
