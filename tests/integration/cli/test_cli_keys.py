"""`keys …`: which keys there are, what they seal, and how one takes another's place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.cli.shared.context import open_database
from reconciler.crypto.keyring import FileKeyring, add_key
from reconciler.crypto.seal import seal, unseal
from reconciler.store import rewrap as sealed
from reconciler.store.outbound.peers import client_key_context
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from reconciler.store.db import Database

OUTBOUND = """
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {{name: p{number}}}
spec: {{direction: outbound, endpoint: 'https://p{number}.example'}}
"""
PEERS = 5


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    """A shell whose database holds outbound peers, each with a sealed value of its own."""
    made = shell(tmp_path, database_url)
    manifests = {f"p{number}": OUTBOUND.format(number=number) for number in range(PEERS)}
    write(tmp_path / "manifests", **manifests)
    made.ok("apply", "--yes")
    keys = keyring(made)
    for row_id in ids(made):
        made.rows.run(
            "UPDATE federation_peers SET csr_pem = 'csr', roots_pem = 'root',"
            " client_key_pem = :sealed WHERE id = :id",
            id=row_id,
            sealed=seal(secret_of(row_id), client_key_context(row_id), keys),
        )
    return made


def folder(mosaic: Quick) -> Path:
    return mosaic.cwd / "gateway" / "keys"


def keyring(mosaic: Quick) -> FileKeyring:
    return FileKeyring.load(folder(mosaic))


def ids(mosaic: Quick) -> list[UUID]:
    return [row["id"] for row in mosaic.rows.rows("SELECT id FROM federation_peers ORDER BY id")]


def secret_of(row_id: UUID) -> bytes:
    return f"the key of {row_id}".encode()


def test_the_status_is_an_array_of_ids_with_what_each_seals(mosaic: Quick) -> None:
    (first,) = keyring(mosaic).ids
    added = mosaic.ok("keys", "add").out.split()[1]
    assert sorted(mosaic.document("keys", "status"), key=lambda row: not row["primary"]) == [
        {"id": first, "primary": True, "sealed": PEERS},
        {"id": added, "primary": False, "sealed": 0},
    ]


def test_a_key_is_rotated_rewrapped_and_retired_and_every_value_still_opens(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "BATCH", 2)  # so that there are several transactions
    (old,) = keyring(mosaic).ids
    new = mosaic.ok("keys", "add").out.split()[1]
    rotated = mosaic.ok("keys", "rotate", new)
    assert rotated.err == f"acting on the keyring in {folder(mosaic)}\n"
    assert mosaic("keys", "retire", old, "--yes", "--output", "json").code == 64
    refused = mosaic("keys", "retire", old, "--yes")
    assert refused.code == 3
    assert f"the key '{old}' still seals 5 values" in refused.err
    assert "keys rewrap" in refused.err

    assert mosaic.ok("keys", "rewrap").out == f"sealed again under {new}: {PEERS}\n"
    assert mosaic.ok("keys", "rewrap").out == f"sealed again under {new}: 0\n"
    assert len(mosaic.rows.audited("key.rewrapped")) == PEERS

    mosaic.ok("keys", "retire", old, "--yes")
    assert mosaic.document("keys", "status") == [{"id": new, "primary": True, "sealed": PEERS}]
    keys = keyring(mosaic)
    for row in mosaic.rows.rows("SELECT id, client_key_pem FROM federation_peers"):
        context = client_key_context(row["id"])
        assert unseal(bytes(row["client_key_pem"]), context, keys) == secret_of(row["id"])


def test_a_rewrap_that_was_interrupted_goes_on_where_it_was(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "BATCH", 2)
    mosaic.ok("keys", "rotate")
    with mosaic.rows.database.transaction() as tx:
        count, _ = sealed.rewrap_batch(tx, keyring(mosaic), "user:tests", sealed.FIRST)
    assert count == 2
    assert mosaic.ok("keys", "rewrap").out.endswith(f": {PEERS - 2}\n")


def test_a_rotation_without_an_id_makes_the_key(mosaic: Quick) -> None:
    (old,) = keyring(mosaic).ids
    mosaic.ok("keys", "rotate")
    keys = keyring(mosaic)
    assert len(keys.ids) == 2
    assert keys.primary != old


@pytest.mark.parametrize("verb", ["rotate", "retire"])
def test_a_key_that_is_not_there_changes_nothing(mosaic: Quick, verb: str) -> None:
    before = keyring(mosaic)
    done = mosaic("keys", verb, "0123456789abcdef")
    assert done.code == 1
    assert "the keyring holds no key '0123456789abcdef'" in done.err
    assert (keyring(mosaic).ids, keyring(mosaic).primary) == (before.ids, before.primary)


def test_the_primary_key_is_not_retired_even_where_it_seals_nothing(mosaic: Quick) -> None:
    mosaic.rows.run("UPDATE federation_peers SET client_key_pem = NULL")
    primary = keyring(mosaic).primary
    done = mosaic("keys", "retire", primary, "--yes")
    assert done.code == 3
    assert f"the key '{primary}' is the primary one" in done.err


def test_a_person_is_asked_before_a_key_is_removed(mosaic: Quick) -> None:
    added = add_key(folder(mosaic))
    assert mosaic("keys", "retire", added).code == 64
    assert mosaic.at_terminal("keys", "retire", added, typed="n\n").code == 1
    assert added in keyring(mosaic).ids
    assert mosaic.at_terminal("keys", "retire", added, typed="y\n").code == 0
    assert added not in keyring(mosaic).ids


def test_a_key_that_became_the_primary_one_before_the_answer_is_not_removed(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = add_key(folder(mosaic))

    def agree(*_: object, **__: object) -> None:
        mosaic.process.ok("keys", "rotate", added)

    monkeypatch.setattr("reconciler.cli.keys.retire.confirm", agree)
    done = mosaic("keys", "retire", added)
    assert (done.code, keyring(mosaic).primary) == (3, added)


def test_a_rewrap_that_began_before_a_rotation_uses_no_key_that_was_retired(
    mosaic: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = mosaic.ok("keys", "rotate").out.split()[0]

    @contextmanager
    def opened(*arguments: Any, **options: Any) -> Iterator[Database]:
        mosaic.process.ok("keys", "rotate")
        mosaic.process.ok("keys", "retire", second, "--yes")
        with open_database(*arguments, **options) as database:
            yield database

    monkeypatch.setattr("reconciler.cli.keys.rewrap.open_database", opened)
    mosaic.ok("keys", "rewrap")
    keys = keyring(mosaic)
    assert mosaic.document("keys", "status")  # it exits with 78 if a key is missing
    for row in mosaic.rows.rows("SELECT id, client_key_pem FROM federation_peers"):
        context = client_key_context(row["id"])
        assert unseal(bytes(row["client_key_pem"]), context, keys) == secret_of(row["id"])


def test_a_missing_key_that_seals_a_value_is_named_and_exits_with_78(mosaic: Quick) -> None:
    (old,) = keyring(mosaic).ids
    mosaic.ok("keys", "rotate")
    (folder(mosaic) / f"{old}.key").unlink()
    done = mosaic("keys", "status", "--output", "json")
    assert (done.code, done.error["code"]) == (78, "keyring_invalid")
    assert old in done.error["message"]
    assert mosaic("keys", "rewrap").code == 78
