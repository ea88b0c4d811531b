"""The archive of a backup: what was written is read, and anything else is refused by its name."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.audit.chain import Head
from reconciler.core.backup.manifest import BackupManifest, DatabaseState, Member, TableRows
from reconciler.errors import Refused
from reconciler.operations.backup.archive import END, opened_archive, write_archive

if TYPE_CHECKING:
    from pathlib import Path

CONTENTS: Final = {
    "rows/federation_peers.copy": b"1\tbeta\n",
    "keys/primary": b"k1\n",
    "secrets/token-pepper": b"p" * 700,
}
STATE: Final = DatabaseState("0011", "7", 3, Head(9, bytes(32)), datetime(2026, 6, 1, tzinfo=UTC))


def manifest_of(contents: dict[str, bytes]) -> BackupManifest:
    members = tuple(
        Member(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    )
    return BackupManifest(
        "0.1", STATE, (TableRows("federation_peers", ("id", "name"), 1),), members
    )


def written(contents: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    write_archive(archive, manifest_of(contents), lambda member: (contents[member.name],))
    return archive.getvalue()


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Refused) as refused, opened_archive(path):
        pass
    assert refused.value.code == "backup_invalid"
    return refused.value.message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.backup"


def test_what_is_written_is_read_and_tar_lists_it(path: Path) -> None:
    path.write_bytes(written(CONTENTS))
    with opened_archive(path) as archive:
        assert archive.manifest == manifest_of(CONTENTS)
        assert {name: archive.content(name) for name in CONTENTS} == CONTENTS
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert names == ["manifest.json", *CONTENTS, "manifest.sha256"]


def test_any_changed_octet_is_found(path: Path) -> None:
    whole = written(CONTENTS)
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        assert refusal(path, bytes(changed)), place


def test_a_later_format_is_told_with_the_version_that_reads_it(path: Path) -> None:
    text = manifest_of(CONTENTS).text().encode()
    later = text.replace(b"mosaic-backup-v1", b"mosaic-backup-v2").replace(b'"0.1"', b'"9.1"')
    path.write_bytes(written(CONTENTS).replace(text, later))
    with pytest.raises(Refused) as refused, opened_archive(path):
        pass
    assert refused.value.message == (
        "the backup has the format mosaic-backup-v2, this version reads mosaic-backup-v1"
    )
    assert "9.1" in refused.value.hint


def test_any_truncation_is_found_and_says_where(path: Path) -> None:
    whole = written(CONTENTS)
    for length in range(0, len(whole), 101):
        assert "truncated" in refusal(path, whole[:length]), length
    assert "something follows" in refusal(path, whole + b"\0")


def test_a_changed_member_is_named(path: Path) -> None:
    whole = written(CONTENTS)
    assert refusal(path, whole.replace(b"1\tbeta\n", b"1\tgama\n")).startswith(
        "rows/federation_peers.copy has the SHA-256"
    )


@pytest.mark.parametrize(
    ("kind", "name", "size"),
    [
        (tarfile.SYMTYPE, "keys/primary", 0),
        (tarfile.LNKTYPE, "keys/primary", 0),
        (tarfile.CHRTYPE, "keys/primary", 0),
        (tarfile.DIRTYPE, "keys/primary", 0),
        (tarfile.GNUTYPE_SPARSE, "keys/primary", 3),
        (tarfile.XHDTYPE, "keys/primary", 3),
        (tarfile.REGTYPE, "../../etc/passwd", 3),
        (tarfile.REGTYPE, "/etc/passwd", 3),
        (tarfile.REGTYPE, "keys/primary", 2**50),
    ],
)
def test_a_hostile_member_is_refused_by_its_place(
    path: Path, kind: bytes, name: str, size: int
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, size, "/etc/shadow", 0o600
    whole = written(CONTENTS)
    at = next(
        place
        for place in range(0, len(whole), tarfile.BLOCKSIZE)
        if whole[place:].startswith(b"keys/primary\0")
    )
    hostile = whole[:at] + info.tobuf(tarfile.GNU_FORMAT)[:512] + whole[at + 512 :]
    assert refusal(path, hostile).startswith("keys/primary: in its place is ")


@pytest.mark.parametrize(
    "name",
    ["../outside", "keys/../../x", "/etc/passwd", "keys/.hidden", "keys/a/b/c", "other/x", "keys/"],
)
def test_a_manifest_cannot_name_a_place_elsewhere(path: Path, name: str) -> None:
    assert "manifest.json: " in refusal(path, written({**CONTENTS, name: b"x"}))


def test_what_is_no_archive_is_refused(path: Path, tmp_path: Path) -> None:
    for content in (b"", b"hello", END, os.urandom(4096)):
        refusal(path, content)
    os.mkfifo(tmp_path / "pipe")
    for each in (tmp_path, tmp_path / "pipe", tmp_path / "missing", path / "below"):
        with pytest.raises(Refused) as refused, opened_archive(each):
            pass
        assert refused.value.code == "file_unusable"
