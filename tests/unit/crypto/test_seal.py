"""Sealed values and the keyring: what was altered, moved or lost does not open."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.crypto.keyring import FileKeyring, key_id
from reconciler.crypto.seal import MAGIC, SealContext, seal, sealed_key_id, unseal
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path

PLACE = SealContext("client-key", "federation_peers", "client_key_pem", "row-1")
KEY, OTHER = b"k" * 32, b"o" * 32
RING = FileKeyring({key_id(KEY): KEY}, key_id(KEY))
SECRET = b"-----BEGIN PRIVATE KEY-----"
SEALED = seal(SECRET, PLACE, RING)


def refused(sealed: bytes, context: SealContext = PLACE, ring: FileKeyring = RING) -> str:
    with pytest.raises(NeedsEdit) as caught:
        unseal(sealed, context, ring)
    assert caught.value.code == "keyring_invalid"
    assert caught.value.exit_code == 78
    return caught.value.message


@given(st.binary(max_size=5000))
def test_a_value_opens_in_its_place(value: bytes) -> None:
    assert unseal(seal(value, PLACE, RING), PLACE, RING) == value


def test_a_sealed_value_shows_its_key_id_and_nothing_of_the_value() -> None:
    assert SEALED.startswith(MAGIC)
    assert sealed_key_id(SEALED) == key_id(KEY)
    assert b"PRIVATE" not in SEALED
    assert seal(SECRET, PLACE, RING) != SEALED


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, purpose="x"),
        replace(PLACE, table="federation_grants"),
        replace(PLACE, column="x"),
        replace(PLACE, row_id="row-2"),
        replace(PLACE, generation=2),
        replace(PLACE, table="federation_peersclient_", column="key_pem"),
    ],
)
def test_a_moved_value_does_not_open(elsewhere: SealContext) -> None:
    refused(SEALED, elsewhere)


@pytest.mark.parametrize("place", range(len(SEALED)))
def test_a_byte_altered_anywhere_does_not_open(place: int) -> None:
    for change in (1, 0x80, 0xFF):
        altered = bytearray(SEALED)
        altered[place] ^= change
        refused(bytes(altered))


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_a_value_cut_short_does_not_open(length: int) -> None:
    refused(SEALED[:length])


@given(st.binary(max_size=300))
def test_no_bytes_crash_unsealing(junk: bytes) -> None:
    refused(MAGIC + junk)
    refused(junk)


def test_a_missing_key_is_named() -> None:
    message = refused(SEALED, ring=FileKeyring({key_id(OTHER): OTHER}, key_id(OTHER)))
    assert message == f"the key '{key_id(KEY)}' that sealed this value is not in the keyring"


def test_a_wrong_key_under_the_right_id_is_found_by_its_commitment() -> None:
    message = refused(SEALED, ring=FileKeyring({key_id(KEY): OTHER}, key_id(KEY)))
    assert message == f"the key '{key_id(KEY)}' did not seal this value"


def test_an_old_key_still_opens_after_a_new_one_became_primary() -> None:
    both = FileKeyring({key_id(KEY): KEY, key_id(OTHER): OTHER}, key_id(OTHER))
    assert unseal(SEALED, PLACE, both) == SECRET
    assert sealed_key_id(seal(SECRET, PLACE, both)) == key_id(OTHER)


def test_the_repr_of_a_keyring_shows_ids_only() -> None:
    assert repr(RING) == f"FileKeyring(ids=('{key_id(KEY)}',), primary='{key_id(KEY)}')"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FileKeyring.create(tmp_path / "keys")
    return tmp_path / "keys"


def test_a_new_keyring_is_a_0700_folder_of_0400_files(folder: Path) -> None:
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o400}
    ring = FileKeyring.load(folder)
    assert ring.ids == (ring.primary,)


def test_making_a_keyring_again_changes_nothing(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    FileKeyring.create(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_keyring_that_was_interrupted_before_its_primary_is_completed(folder: Path) -> None:
    ids = FileKeyring.load(folder).ids
    (folder / "primary").unlink()
    assert FileKeyring.create(folder).ids == ids


def unusable(folder: Path) -> str:
    with pytest.raises(NeedsEdit) as caught:
        FileKeyring.load(folder)
    assert (caught.value.code, caught.value.exit_code) == ("keyring_invalid", 78)
    return caught.value.message


def key_file(folder: Path) -> Path:
    return next(folder.glob("*.key"))


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    assert "is not a folder with sealing keys" in unusable(tmp_path / "none")


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert "holds no sealing key" in unusable(tmp_path)


@pytest.mark.parametrize("wrong", [0o755, 0o750, 0o701, 0o770])
def test_a_folder_that_others_may_enter_is_refused(folder: Path, wrong: int) -> None:
    folder.chmod(wrong)
    assert f"has mode {wrong:04o}, expected 0700" in unusable(folder)


@pytest.mark.parametrize("wrong", [0o444, 0o440, 0o404, 0o660])
def test_a_key_that_others_may_read_is_refused(folder: Path, wrong: int) -> None:
    key_file(folder).chmod(wrong)
    assert f"has mode {wrong:04o}, expected 0400" in unusable(folder)
    with pytest.raises(NeedsEdit) as caught:
        FileKeyring.load(folder)
    assert f"`chmod 0400 {key_file(folder)}`" in str(caught.value.hint)


@pytest.mark.parametrize(
    "content",
    [b"", b"mosaic-kek-v1 ", b"mosaic-kek-v1 AAAA", b"mosaic-kek-v1 !", b"\xff\xfe", b"x"],
)
def test_a_file_that_is_no_key_is_refused_without_its_content(folder: Path, content: bytes) -> None:
    rewrite(key_file(folder), content)
    assert unusable(folder).endswith("does not hold a sealing key")


def test_a_key_under_another_name_is_refused(folder: Path) -> None:
    key_file(folder).rename(folder / "0000000000000000.key")
    assert "not the one of its name" in unusable(folder)


def test_a_folder_in_place_of_a_key_is_refused(folder: Path) -> None:
    (folder / "aaaa.key").mkdir(mode=0o700)
    assert "cannot be read" in unusable(folder)


def test_a_missing_primary_is_said(folder: Path) -> None:
    (folder / "primary").unlink()
    assert unusable(folder) == f"{folder / 'primary'} is missing"


@pytest.mark.parametrize("content", [b"", b"0123456789abcdef", b"\xff\x1b[31m"])
def test_a_primary_that_names_no_key_is_refused(folder: Path, content: bytes) -> None:
    rewrite(folder / "primary", content)
    message = unusable(folder)
    assert "which is not there" in message
    assert message.isprintable()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.binary(max_size=100))
def test_no_content_of_a_key_file_crashes(folder: Path, content: bytes) -> None:
    rewrite(key_file(folder), content)
    unusable(folder)
