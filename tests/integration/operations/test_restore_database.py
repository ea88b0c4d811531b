"""Backup and restore of a gateway without a home: its database, and the places of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.store.connection import probe
from tests.support.commands.elsewhere import elsewhere
from tests.support.commands.in_process import Quick
from tests.support.commands.killed import run_and_kill

if TYPE_CHECKING:
    from reconciler.embedded.postgres.server import Cluster


def export(mosaic: Quick) -> str:
    """Return the audit log as it is exported, a record a line."""
    return mosaic.ok("audit", "list", "--after", "1", "--output", "jsonl").out


def test_rows_and_files_are_restored_and_nothing_holds_until_it_is_confirmed(
    mosaic: Quick, empty_database_url: str
) -> None:
    mosaic.enroll("one")
    mosaic.rows.run("UPDATE federation_peers SET status = 'active', activated_at = now()")
    pending = mosaic.rows.invite("two")
    mosaic.ok("backup", "a.backup")
    assert (mosaic.cwd / "a.backup").stat().st_mode & 0o777 == 0o600
    assert mosaic("backup", "a.backup").code == 1, "it is not written over"
    mosaic.ok("backup", "a.backup", "--force")

    other = elsewhere(mosaic, empty_database_url)
    other.ok("restore", "a.backup")
    assert other.statuses() == mosaic.statuses()
    assert other.token_status(pending) == "void"
    assert mosaic.token_status(pending) == "open"
    holds = "SELECT holds FROM federation_authority"
    assert (mosaic.rows.one(holds), other.rows.one(holds)) == (True, False)
    for name in ("token-pepper", "root_ca.crt", "keys/primary", "provisioners/peers.json"):
        old, new = (mosaic.cwd / folder / name for folder in ("gateway", "restored"))
        assert old.read_bytes() == new.read_bytes()
    again = other("restore", "a.backup")
    assert (again.code, "holds a gateway's rows" in again.err) == (1, True)

    waiting = other.document("status")["restore"]
    assert waiting["state"] == "restored"
    assert "restore --confirm" in waiting["next"]
    assert "not serving   the gateway was restored and is not confirmed" in other.ok("status").out
    examined = other("doctor", "-o", "json")
    (finding,) = (each for each in examined.document if each["check"] == "restore")
    assert (examined.code, finding["state"]) == (1, "failed")
    assert "restore --confirm" in finding["hint"]
    early = other("restore", "--confirm", "--yes")
    assert (early.code, "no source was applied" in early.err) == (1, True)
    other.ok("apply", "--yes")
    other.ok("restore", "--confirm", "--yes")
    assert other.rows.one(holds) is True
    assert other.document("status")["restore"] is None
    kinds = [each["kind"] for each in other.document("audit", "list")]
    assert kinds[-2:] == ["gateway.restored", "gateway.confirmed"]
    other.ok("audit", "verify")


def test_what_was_removed_from_git_since_is_revoked_by_the_apply(
    mosaic: Quick, empty_database_url: str
) -> None:
    mosaic.enroll("one")
    mosaic.ok("backup", "a.backup")
    (mosaic.cwd / "manifests" / "one.yaml").unlink()
    other = elsewhere(mosaic, empty_database_url)
    other.ok("restore", "a.backup")
    other.ok("apply", "--yes")
    assert other.grant("one")["status"] == "revoked"
    assert other.rows.one("SELECT status::text FROM federation_certificates") == "revoking"


def test_holds_and_revocations_of_an_export_are_made_again(
    mosaic: Quick, empty_database_url: str
) -> None:
    serials = {name: mosaic.enroll(name) for name in ("one", "two", "three")}
    mosaic.ok("backup", "a.backup")
    mosaic.ok("grant", "suspend", "one", "--reason", "asks too much")
    mosaic.ok("grant", "suspend", "two")
    mosaic.ok("grant", "resume", "two")
    mosaic.ok("grant", "revoke", "three", "--yes")
    text = export(mosaic)
    (mosaic.cwd / "audit.jsonl").write_text(text)

    other = elsewhere(mosaic, empty_database_url)
    other.ok("restore", "a.backup", "--audit", "audit.jsonl")
    assert other.statuses() == {"one": "suspended", "two": "active", "three": "revoked"}
    assert "asks too much" in other.grant("one")["hold"]["reason"]
    assert other.grant("three")["hold"]["kind"] == "revoke"
    revoking = "SELECT serial FROM federation_certificates WHERE status = 'revoking'"
    assert other.rows.one(revoking) == serials["three"]
    other.ok("apply", "--yes")
    assert other.statuses()["three"] == "revoked", "the hold keeps it from being created"


def test_the_hold_of_a_grant_whose_peer_was_revoked_too_is_made_again(
    mosaic: Quick, empty_database_url: str
) -> None:
    mosaic.ok("backup", "a.backup")
    mosaic.ok("grant", "revoke", "one", "--reason", "left", "--yes")
    mosaic.ok("peer", "revoke", "beta", "--yes")
    (mosaic.cwd / "audit.jsonl").write_text(export(mosaic))

    other = elsewhere(mosaic, empty_database_url)
    other.ok("restore", "a.backup", "--audit", "audit.jsonl")
    holds = {name: other.grant(name)["hold"] is not None for name in ("one", "two")}
    assert holds == {name: mosaic.grant(name)["hold"] is not None for name in holds}
    assert holds == {"one": True, "two": False}


@pytest.mark.parametrize("change", ["gap", "fork", "altered", "no record"])
def test_an_export_that_does_not_continue_the_backup_is_refused(
    mosaic: Quick, empty_database_url: str, change: str
) -> None:
    mosaic.ok("backup", "a.backup")
    for name in ("one", "two"):
        mosaic.ok("grant", "suspend", name)
    lines = export(mosaic).splitlines()
    match change:
        case "gap":
            del lines[-2]
        case "fork":
            lines[-3] = lines[-3].replace('"hash": "', '"hash": "00')
        case "altered":
            lines[-1] = lines[-1].replace("grant/two", "grant/one")
        case _:
            lines[-1] = '{"seq": 1}'
    (mosaic.cwd / "audit.jsonl").write_text("\n".join(lines))
    done = elsewhere(mosaic, empty_database_url)("restore", "a.backup", "--audit", "audit.jsonl")
    assert (done.code, "audit.jsonl: " in done.err) == (1, True)


def test_a_file_of_another_gateway_is_not_written_over(
    mosaic: Quick, empty_database_url: str
) -> None:
    mosaic.ok("backup", "a.backup")
    other = elsewhere(mosaic, empty_database_url)
    pepper = mosaic.cwd / "restored" / "token-pepper"
    pepper.parent.mkdir()
    pepper.write_text("another")
    done = other("restore", "a.backup")
    assert (done.code, str(pepper) in done.err) == (78, True)
    assert pepper.read_text() == "another"
    pepper.unlink()
    other.ok("restore", "a.backup")


def test_a_restore_that_is_killed_anywhere_is_made_by_the_next_one(
    mosaic: Quick, server: Cluster
) -> None:
    mosaic.ok("backup", "a.backup")
    expected = mosaic.statuses()
    for step in (22, 38):
        probe.ensure_database(server.url("postgres"), f"killed_{step}")
        other = elsewhere(mosaic, server.url(f"killed_{step}"), f"restored-{step}")
        assert run_and_kill(other, mosaic.cwd / f"restored-{step}", step, "restore", "a.backup")
        done = other("restore", "a.backup")
        if done.code:  # it was killed when all was done
            assert "holds a gateway's rows" in done.err
        assert other.statuses() == expected
    assert other("restore", "--confirm", "--yes").code == 1, "it is not open before an apply"


def test_a_home_whose_restore_was_interrupted_is_no_gateway(mosaic: Quick) -> None:
    home = mosaic.cwd / "home"
    home.mkdir()
    (home / "restoring").touch()
    (home / "mosaic-home").touch()
    mosaic.ok("backup", "a.backup")
    bare = Quick(mosaic.cwd)
    for verb in (("init",), ("up",), ("restore", "a.backup")):
        done = bare(*verb, "--home", str(home))
        assert (done.code, "mosaic federation destroy --home" in done.err) == (1, True), done.err
    bare.ok("destroy", "--yes", "--home", str(home))
    assert not home.exists()
