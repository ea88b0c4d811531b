"""Backups of a gateway without a home: what is in the file, whatever happens meanwhile."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.keyring import FileKeyring, add_key, make_primary, remove_key
from reconciler.errors import MosaicError
from reconciler.operations.backup.archive import opened_archive
from reconciler.store.backup.tables import database_state
from reconciler.store.rewrap import FIRST, rewrap_batch
from tests.support.commands.elsewhere import elsewhere, with_provisioners
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.killed import run_and_kill
from tests.support.gateways.grantor import RENEW
from tests.support.gateways.joiner import AGED, ALPHA_AGED, Beta

if TYPE_CHECKING:
    from reconciler.core.backup.manifest import DatabaseState
    from reconciler.store.db import Tx
    from tests.support.gateways.grantor import Alpha


def write_ca(folder: Path) -> None:
    """Write an authority's files, or those of another one over them."""
    made = new_ca("Alpha", datetime.now(UTC))
    folder.mkdir(exist_ok=True)
    (folder / "ca.json").write_text('{"root": "/home/step/root_ca.crt"}')
    (folder / "root_ca.crt").write_text(made.root)
    (folder / "intermediate_ca.crt").write_text(made.intermediate)
    (folder / "intermediate_ca_key").write_bytes(made.intermediate_key)


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
