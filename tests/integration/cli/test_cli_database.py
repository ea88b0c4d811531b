"""`db` and `audit`: a database that is empty, current, later than we are, or tampered with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from reconciler.errors import MosaicError
from reconciler.store.audit import log as audit
from reconciler.store.db import Tx
from reconciler.store.migrate import upgrade
from reconciler.store.roles.catalog import role_differences
from reconciler.store.roles.making import make_roles
from reconciler.store.schema import MIGRATIONS, revisions
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.killed import run_and_kill
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

VERBS: Final = [
    ("grant", "list"),
    ("peer", "show", "beta"),
    ("plan",),
    ("apply", "--yes"),
    ("grant", "suspend", "a"),
    ("audit", "list"),
    ("audit", "verify"),
    ("db", "check"),
]
COMMITTED: Final = 2  # the step right after the first commit


@pytest.fixture
def empty(tmp_path: Path, empty_database_url: str) -> Quick:
    """A shell whose database has nothing in it."""
    made = shell(tmp_path, empty_database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), a=grant_manifest("a"))
    return made


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell beside a source that is applied, with a few entries in the log."""
    made = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), a=grant_manifest("a"))
    made.ok("apply", "--yes")
    made.ok("grant", "suspend", "a", "--reason", "a leak")
    made.ok("grant", "resume", "a")
    return made


@pytest.mark.parametrize("arguments", VERBS)
def test_each_verb_says_what_an_empty_database_needs(
    empty: Quick, arguments: tuple[str, ...]
) -> None:
    done = empty(*arguments)
    assert done.code == 78
    assert "the database is at migration none, expected" in done.err
    assert "mosaic federation db upgrade" in done.err


def test_an_upgrade_makes_the_schema_and_a_second_one_finds_it(empty: Quick) -> None:
    before = empty.document("db", "current")
    assert (before["current"], before["upToDate"]) == (None, False)
    done = empty.ok("db", "upgrade")
    assert "acting on the database" in done.err
    assert empty.ok("db", "upgrade").out == done.out
    after = empty.document("db", "current")
    assert after == {"current": before["head"], "head": before["head"], "upToDate": True}
    assert "in force" in empty.ok("db", "check").out
    assert empty.document("apply", "--yes")["summary"]["create"] == 2


def test_an_upgrade_that_is_killed_leaves_the_roles_all_their_rights(empty: Quick) -> None:
    first = "0012"
    upgrade(empty.rows.database, first)
    with empty.rows.database.transaction() as tx:
        make_roles(tx)

    for migration in MIGRATIONS[MIGRATIONS.index(first) + 1 :]:
        assert run_and_kill(empty, None, COMMITTED, "db", "upgrade")

        with empty.rows.database.transaction() as tx:
            assert (revisions(tx).current, role_differences(tx)) == (migration, ())
    assert "in force" in empty.ok("db", "check").out


def test_the_url_is_printed_as_psql_takes_it(empty: Quick) -> None:
    assert empty.ok("db", "url").out.strip() == empty.rows.url


def test_a_database_that_a_later_version_migrated_is_left_alone(mosaic: Quick) -> None:
    mosaic.rows.run("UPDATE alembic_version SET version_num = '9999'")
    mosaic.rows.run("UPDATE federation_control SET oldest_migration = '9999'")
    for arguments in (*VERBS[:5], ("db", "upgrade")):
        done = mosaic(*arguments, "--log-level", "error")
        assert done.code == 1, arguments
        assert "'9999', which this version does not know" in done.err
    assert mosaic.document("db", "current")["upToDate"] is False


def test_a_check_names_what_is_not_in_force(mosaic: Quick) -> None:
    mosaic.rows.run("ALTER TABLE federation_grants DISABLE TRIGGER federation_grants_moves")
    mosaic.rows.run("DROP TRIGGER federation_audit_head_kept ON federation_audit_head")
    done = mosaic("db", "check")
    assert done.code == 1
    assert done.out.splitlines() == [
        "the trigger federation_audit_head_kept is missing",
        "the trigger federation_grants_moves is disabled",
    ]
    assert "2 differences" in done.err


def test_roles_are_printed_as_sql_that_makes_them(mosaic: Quick) -> None:
    printed = mosaic.ok("db", "roles", "--print").out
    assert "roles" not in mosaic.ok("db", "check").out
    with psycopg.connect(mosaic.rows.url, autocommit=True) as connection:
        connection.execute(printed)
    assert "triggers and roles are in force" in mosaic.ok("db", "check").out
    made = mosaic.ok("db", "roles")
    assert made.out.split()[:4] == ["the", "roles", "are", "mosaic_authority,"]
    lines = [line for line in made.err.splitlines() if "databases of the server" not in line]
    assert len(lines) == 1
    mosaic.rows.run("GRANT SELECT ON federation_peers TO PUBLIC")
    assert (
        mosaic("db", "check").out == "public has SELECT on table federation_peers, and should not\n"
    )
    mosaic.ok("db", "roles")
    assert mosaic("db", "check").code == 0


@pytest.mark.usefixtures("own_logins")
def test_a_role_gets_a_login_whose_url_is_in_a_file_of_its_own(
    mosaic: Quick, tmp_path: Path
) -> None:
    folder = tmp_path / "logins" / "mosaic_operator"
    assert "named for no login" in mosaic("db", "roles", "--login", str(tmp_path)).err
    mosaic.ok("db", "roles", "--login", str(folder))
    file = folder / "database-url"
    url = file.read_text()
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o400, 0o700)
    mosaic.ok("db", "roles", "--login", str(folder))
    assert file.read_text() == url
    operator = {"MOSAIC_DATABASE_URL": url}
    mosaic.ok("grant", "suspend", "a", **operator)
    mosaic.ok("grant", "resume", "a", **operator)
    assert mosaic("plan", **operator).code == 0
    body = mosaic.rows.one("SELECT body FROM federation_audit_log ORDER BY seq DESC LIMIT 1")
    assert json.loads(body)["login"] == "mosaic_operator"
    document = mosaic.ok("audit", "verify", "-o", "json", **operator).document
    assert "mosaic_operator" in document["logins"]["append"]
    warned = {each["check"]: each for each in mosaic("doctor", "-o", "json").document}
    assert warned["login"]["state"] == "warning"
    findings = {each["check"]: each for each in mosaic("doctor", "-o", "json", **operator).document}
    assert (findings["login"]["state"], findings["schema"]["state"]) == ("ok", "ok")


def test_the_log_lists_what_happened_oldest_first_and_narrows(mosaic: Quick) -> None:
    entries = mosaic.document("audit", "list")
    assert [each["seq"] for each in entries] == [1, 2, 3, 4]
    assert [each["kind"] for each in entries] == [
        "peer.created",
        "grant.created",
        "grant.suspended",
        "grant.resumed",
    ]
    names = ("seq", "at", "kind", "actor", "subject", "data", "login", "prev", "hash")
    assert tuple(entries[0]) == names
    newest = mosaic.document("audit", "list", "--limit", "2")
    assert newest == entries[2:]
    assert mosaic.document("audit", "list", "--subject", "peer/beta") == entries[:1]
    assert mosaic.ok("audit", "list", "--subject", "peer/x").out.startswith("the audit log has no")
    header = mosaic.ok("audit", "list").out.splitlines()[0]
    assert header.split() == ["SEQ", "AT", "KIND", "SUBJECT", "ACTOR", "DATA"]
    assert mosaic.ok("audit", "verify").out.startswith("4 records verified\n")


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE federation_audit_log SET actor = 'user:nobody' WHERE seq = 2", 2),
        ("UPDATE federation_audit_log SET body = replace(body, 'leak', 'test') WHERE seq = 3", 3),
        ("UPDATE federation_audit_log SET at = at + interval '1 s' WHERE seq = 1", 1),
        ("UPDATE federation_audit_log SET subject = 'grant/b' WHERE seq = 4", 4),
        ("DELETE FROM federation_audit_log WHERE seq = 2", 3),
        ("DELETE FROM federation_audit_log WHERE seq = 4", 4),
        ("DELETE FROM federation_audit_log", 1),
        ("UPDATE federation_audit_head SET seq = 3", 5),
        ("DELETE FROM federation_audit_head", 5),
    ],
)
def test_a_log_that_was_tampered_with_does_not_verify_and_names_the_entry(
    mosaic: Quick, statement: str, seq: int
) -> None:
    mosaic.rows.tamper(statement)
    done = mosaic("audit", "verify")
    assert (done.code, done.out) == (1, "")
    assert f"breaks at seq {seq}:" in done.err


def test_what_is_appended_while_the_log_is_verified_breaks_nothing(mosaic: Quick) -> None:
    class Meanwhile(Tx):
        """A transaction beside which others append, after each statement."""

        __slots__ = ()

        def rows(self, statement: str, /, **values: object) -> list[dict[str, Any]]:
            verified = super().rows(statement, **values)
            mosaic.ok("grant", "suspend", "a")
            return verified

    with mosaic.rows.database.transaction() as tx:
        verified = audit.verify(Meanwhile(tx.connection))
    assert (verified.last.seq, verified.chain_break) == (4, None)


def test_the_log_is_changed_by_nobody(mosaic: Quick) -> None:
    for statement in (
        "UPDATE federation_audit_log SET actor = 'x'",
        "DELETE FROM federation_audit_log",
        "TRUNCATE federation_audit_log",
        "DELETE FROM federation_grants",
    ):
        with pytest.raises(MosaicError, match="refused"):
            mosaic.rows.run(statement)
