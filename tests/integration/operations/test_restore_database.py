"""Backup and restore of a gateway without a home: its database, and the places of its files."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.authority import Authority
from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.keyring import FileKeyring, add_key, make_primary, remove_key
from reconciler.errors import MosaicError, Retry
from reconciler.operations.backup.archive import opened_archive
from reconciler.store.backup.tables import database_state
from reconciler.store.connection import probe
from reconciler.store.rewrap import FIRST, rewrap_batch
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.killed import run_and_kill
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.gateways.grantor import RENEW
from tests.support.gateways.joiner import AGED, ALPHA_AGED, Beta

if TYPE_CHECKING:
    from reconciler.core.backup.manifest import DatabaseState
    from reconciler.embedded.postgres.server import Cluster
    from reconciler.store.db import Tx
    from tests.support.gateways.grantor import Alpha

MANIFESTS: Final = {name: grant_manifest(name) for name in ("one", "two", "three")}


@pytest.fixture(autouse=True)
def nobody_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no gateway waited for that could have read the empty database."""
    monkeypatch.setattr("reconciler.operations.backup.restore.SETTLE_S", 0.0)


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = with_provisioners(shell(tmp_path, database_url))
    write(tmp_path / "manifests", beta=peer_manifest(), **MANIFESTS)
    made.ok("apply", "--yes")
    return made


def with_provisioners(made: Quick) -> Quick:
    folder = made.cwd / "gateway" / "provisioners"
    folder.mkdir()
    (folder / "peers.json").write_text("{}")
    return Quick(made.cwd, {**made.variables, "MOSAIC_CA_PROVISIONERS": str(folder)})


def elsewhere(mosaic: Quick, url: str, place: str = "restored") -> Quick:
    """Return a shell whose gateway is another database, and whose files are not there yet."""
    old, new = str(mosaic.cwd / "gateway"), str(mosaic.cwd / place)
    variables = {name: text.replace(old, new) for name, text in mosaic.variables.items()}
    return Quick(mosaic.cwd, {**variables, "MOSAIC_DATABASE_URL": url})


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


async def ready(url: str) -> None:
    async with Authority(url) as authority:
        await authority.require_ready()


def test_rows_on_another_server_are_refused_until_they_are_adopted(mosaic: Quick) -> None:
    token = mosaic.rows.invite("one")
    mosaic.rows.run("UPDATE federation_control SET system_identifier = '7'")
    for verb in (("grant", "list"), ("apply", "--yes"), ("audit", "list")):
        done = mosaic(*verb)
        assert (done.code, "mosaic federation restore --adopt" in done.err) == (78, True)
    with pytest.raises(Retry, match="another database server"):
        asyncio.run(ready(mosaic.rows.url))

    mosaic.ok("restore", "--adopt", "--yes")
    assert mosaic.token_status(token) == "void"
    assert mosaic("restore", "--confirm", "--yes").code == 1
    mosaic.ok("apply", "--yes")
    mosaic.ok("restore", "--confirm", "--yes")
    kinds = [each["kind"] for each in mosaic.document("audit", "list")]
    assert kinds[-2:] == ["gateway.adopted", "gateway.confirmed"]
    assert mosaic.document("drift") == []


def test_keys_that_are_exchanged_during_a_backup_are_in_it_as_the_rows_need_them(
    alpha: Alpha,
    beta: Beta,
    tmp_path: Path,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rows are of before the rotation, and between the two steps of a renewal."""
    beta.join(alpha.invitation())
    alpha.rows.run(ALPHA_AGED)
    beta.rows.run(AGED)
    alpha.trouble.path, alpha.trouble.lose = RENEW, 1
    with pytest.raises(MosaicError):
        beta.renew()
    assert beta.held().next_sealed_key is not None
    mosaic = with_provisioners(shell(tmp_path, beta.rows.url))
    keyring = Path(mosaic.variables["MOSAIC_KEYRING"])
    shutil.rmtree(keyring)
    (tmp_path / "keys").rename(keyring)
    write_ca(tmp_path / "ca")
    during = [lambda: exchange_keys(mosaic, keyring), lambda: write_ca(tmp_path / "ca")]

    def with_an_exchange(tx: Tx) -> DatabaseState:
        state = database_state(tx)
        if during:
            during.pop(0)()
        return state

    monkeypatch.setattr("reconciler.operations.backup.create.database_state", with_an_exchange)
    mosaic.ok("backup", "a.backup", "--ca-dir", "ca")
    mosaic.ok("backup", "b.backup", "--ca-dir", "ca")
    with opened_archive(tmp_path / "b.backup") as archive:
        for name in ("intermediate_ca.crt", "intermediate_ca_key"):
            assert archive.content(f"ca/{name}") == (tmp_path / "ca" / name).read_bytes()
    other = elsewhere(mosaic, empty_database_url)
    other.ok("restore", "a.backup")
    restored = Beta(other.rows, FileKeyring.load(Path(other.variables["MOSAIC_KEYRING"])))
    restored.renew()
    assert restored.held().csr_pem == beta.held().next_csr_pem
    assert alpha.rows.one("SELECT count(*) FROM federation_certificates") == 2


def exchange_keys(mosaic: Quick, keyring: Path) -> None:
    """Make a new sealing key, seal with it what the old one sealed, and remove the old one."""
    (old,) = FileKeyring.load(keyring).ids
    make_primary(keyring, add_key(keyring))
    with mosaic.rows.database.transaction() as tx:
        rewrap_batch(tx, FileKeyring.load(keyring), "user:tests", FIRST)
    remove_key(keyring, old)


def write_ca(folder: Path) -> None:
    """Write an authority's files, or those of another one over them."""
    made = new_ca("Alpha", datetime.now(UTC))
    folder.mkdir(exist_ok=True)
    (folder / "ca.json").write_text('{"root": "/home/step/root_ca.crt"}')
    (folder / "root_ca.crt").write_text(made.root)
    (folder / "intermediate_ca.crt").write_text(made.intermediate)
    (folder / "intermediate_ca_key").write_bytes(made.intermediate_key)


@pytest.mark.parametrize("part", ["ca/intermediate_ca_key", "secrets/token-pepper"])
def test_a_check_refuses_files_that_make_no_gateway(mosaic: Quick, part: str) -> None:
    write_ca(mosaic.cwd / "ca")
    if part.startswith("ca/"):
        certificate = (mosaic.cwd / "ca" / "intermediate_ca.crt").read_text()
        write_ca(mosaic.cwd / "ca")
        (mosaic.cwd / "ca" / "intermediate_ca.crt").write_text(certificate)
    else:
        pepper = Path(mosaic.variables["MOSAIC_TOKEN_PEPPER_FILE"])
        pepper.chmod(0o600)
        pepper.write_text("")
    mosaic.ok("backup", "a.backup", "--ca-dir", "ca")
    done = mosaic("backup", "--check", "a.backup")
    assert (done.code, part in done.err) == (1, True), done.err


@pytest.mark.parametrize("words", [(), ("-",), ("a", "--check", "b")])
def test_a_backup_goes_to_a_file(mosaic: Quick, words: tuple[str, ...]) -> None:
    assert mosaic("backup", *words).code == 64


def test_a_folder_that_cannot_be_written_to_is_told(mosaic: Quick) -> None:
    for path in ("missing/a.backup", "manifests"):
        done = mosaic("backup", path)
        assert (done.code, path in done.err) == (1, True), done.err


def test_an_older_database_is_refused_by_what_a_file_remembers(
    mosaic: Quick, server: Cluster, database_url: str
) -> None:
    state = mosaic.cwd / "state"
    state.mkdir()
    mosaic.variables["MOSAIC_STATE_DIR"] = str(state)
    mosaic.ok("status")
    name = database_url.partition("@/")[2].partition("?")[0]
    probe.ensure_database(server.url("postgres"), f"older_{name}", name)
    mosaic.ok("grant", "revoke", "one", "--yes")
    mosaic.variables["MOSAIC_DATABASE_URL"] = server.url(f"older_{name}")

    for verb in (("grant", "list"), ("apply", "--yes")):
        done = mosaic(*verb)
        assert (done.code, "which this gateway has seen" in done.err) == (78, True)
    mosaic.ok("restore", "--adopt", "--yes")
    assert mosaic("restore", "--adopt", "--yes").code == 1, "once is enough"
    mosaic.ok("apply", "--yes")
    mosaic.ok("restore", "--confirm", "--yes")
    mosaic.ok("grant", "list")


def test_a_backup_that_is_killed_leaves_a_whole_file_or_the_one_before(mosaic: Quick) -> None:
    folder = mosaic.cwd / "backups"
    folder.mkdir()
    mosaic.ok("backup", "backups/a.backup")
    before = (folder / "a.backup").read_bytes()
    for step in (1, 3, 5):
        assert run_and_kill(mosaic, folder, step, "backup", "backups/a.backup", "--force")
        if (folder / "a.backup").read_bytes() != before:
            with opened_archive(folder / "a.backup"):
                pass  # it is whole: the kill came after its name
    mosaic.ok("backup", "backups/a.backup", "--force")
    assert [path.name for path in folder.iterdir()] == ["a.backup"], "nothing is left over"


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
