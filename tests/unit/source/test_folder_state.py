"""The state of a folder: what of it is looked at, and whether others may write to it unnoticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.source.folder_state import shared_file_system, take_snapshot

if TYPE_CHECKING:
    from pathlib import Path


def save(folder: Path, text: str, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def plain(at: Path) -> Path:
    save(at / "source", "a", "a.yaml")
    return at / "source"


def test_what_changes_nothing_that_is_read_starts_no_pass(tmp_path: Path) -> None:
    source = plain(tmp_path)
    before = take_snapshot(source)
    save(source, "swap", ".a.yaml.swp")
    save(source / ".git", "x", "index.lock")
    save(source, "words", "README.md")
    assert take_snapshot(source) == before
    save(source, "b", "a.yaml")
    assert take_snapshot(source).digest != before.digest


def test_a_link_out_of_the_source_is_neither_walked_nor_watched(tmp_path: Path) -> None:
    source = plain(tmp_path)
    (source / "everything").symlink_to("/")
    (source / "round").symlink_to(".")
    assert [each.path for each in take_snapshot(source).folders] == [str(source)]


def test_a_folder_that_a_link_leads_to_is_walked_though_the_link_is_met_first(
    tmp_path: Path,
) -> None:
    source = plain(tmp_path)
    save(source / "sub", "b", "b.yaml")
    (source / "a-link.yaml").symlink_to("sub/b.yaml")
    before = take_snapshot(source)
    save(source / "sub", "c", "c.yaml")
    assert take_snapshot(source).digest != before.digest


@pytest.mark.parametrize(
    ("kind", "text"),
    [("nfs4", "nfs4"), ("fuse.sshfs", "fuse.sshfs"), ("9p", "9p"), ("ext4", None), ("xfs", None)],
)
def test_file_systems_that_others_write_to_are_known(
    tmp_path: Path, kind: str, text: str | None
) -> None:
    source = plain(tmp_path / "a b")
    point = str(source).replace(" ", "\\040")
    listing = tmp_path / "mountinfo"
    listing.write_text(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        f"28 27 0:9 / {tmp_path} rw shared:1 - tmpfs tmpfs rw\n"
        f"29 28 0:40 / {point} rw - {kind} there rw\n"
    )
    assert shared_file_system(take_snapshot(source), str(listing)) == text
