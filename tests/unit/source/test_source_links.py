"""Links in a folder: those within are read as what they lead to, also while they are swapped."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import InvalidManifests, Retry
from reconciler.manifest.load import load
from reconciler.source.directory import read_directory
from reconciler.source.folder_listing import FolderListing
from tests.support.manifests.text import PEER
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


def problem_lines(root: Path) -> list[str]:
    with pytest.raises(InvalidManifests) as caught:
        load(read_directory(root))
    return [str(each) for each in caught.value.problems]


def test_a_link_that_ends_at_no_file_within_is_refused_for_where_it_leads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "real").mkdir(parents=True)
    (source / "real" / "a.yaml").write_text(PEER)
    (tmp_path / "outside.yaml").write_text(PEER)
    os.mkfifo(source / "pipe")
    for name, target in {
        "absolute.yaml": f"{source}/real/a.yaml",
        "file.yaml": "real/a.yaml/",
        "folder.yaml": "real",
        "folder": "real",
        "nowhere.yaml": "none",
        "outside.yaml": "../outside.yaml",
        "pipe.yaml": "pipe",
        "round.yaml": "round.yaml",
        "through.yaml": "nowhere.yaml/../real/a.yaml",
    }.items():
        (source / name).symlink_to(target)
    hint = "(let it lead to a regular file within the source, or copy the file)"
    assert problem_lines(source) == [
        f"{name}:1:1: error[file.link] the symbolic link {reason} {hint}"
        for name, reason in (
            ("absolute.yaml", "leads out of the source"),
            ("file.yaml", "leads to nothing"),
            ("folder", "may hide a folder"),
            ("folder.yaml", "leads to a folder"),
            ("nowhere.yaml", "leads to nothing"),
            ("outside.yaml", "leads out of the source"),
            ("pipe.yaml", "leads to a special file"),
            ("round.yaml", "leads in a circle"),
            ("through.yaml", "leads to nothing"),
        )
    ]


def config_map(folder: Path, generation: int, **files: str) -> None:
    """Lay out a folder as the kubelet mounts a ConfigMap: files beneath `..data`, and swap it."""
    data = folder / f"..2026_{generation}"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / f"{name}.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in files:
        if not (folder / f"{name}.yaml").is_symlink():
            (folder / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")


def test_a_config_map_is_read_through_its_links(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    config_map(mount, 1, beta=PEER)
    (tmp_path / "link").symlink_to("mount")
    for source in (mount, mount / "..data", tmp_path / "link"):
        result = read_directory(source)
        assert [(each.path, each.content) for each in result.files] == [
            ("beta.yaml", PEER.encode())
        ]
        assert not result.problems


@pytest.mark.parametrize("inner", ["", "..data"])
def test_a_config_map_that_is_swapped_meanwhile_is_read_as_one_generation(
    tmp_path: Path, inner: str
) -> None:
    names = [f"f{number}" for number in range(20)]
    mount, stop = tmp_path / "mount", threading.Event()

    def swap() -> None:
        for generation in itertools.count(1):
            config_map(mount, generation, **dict.fromkeys(names, f"g{generation}"))
            for old in mount.glob("..2026_*"):
                if old.name != f"..2026_{generation}":
                    shutil.rmtree(old)
            if stop.is_set():
                return
            time.sleep(0.01)

    config_map(mount, 0, **dict.fromkeys(names, "g0"))
    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap)
        try:
            generations = set()
            for _ in range(100):
                with suppress(Retry):
                    source = read_directory(mount / inner)
                    assert [each.path for each in source.files] == sorted(
                        f"{name}.yaml" for name in names
                    )
                    (generation,) = {each.content for each in source.files}
                    generations.add(generation)
        finally:
            stop.set()
        swapping.result(PATIENCE_S)
    assert len(generations) > 3


def test_a_link_that_is_swapped_meanwhile_never_leads_outside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.yaml").write_text("outside")
    source = tmp_path / "source"
    (source / "inside").mkdir(parents=True)
    (source / "inside" / "a.yaml").write_text("inside")
    (source / "file.yaml").symlink_to("inside/a.yaml")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():  # a folder, then a link to a folder outside, and back
            (source / "inside").rename(source / ".aside")
            (source / "inside").symlink_to("../outside")
            (source / "inside").unlink()
            (source / ".aside").rename(source / "inside")

    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap)
        try:
            contents = set()
            for _ in range(300):
                with suppress(Retry):
                    contents |= {each.content for each in read_directory(source).files}
        finally:
            stop.set()
        swapping.result(PATIENCE_S)
    assert contents == {b"inside"}


def test_a_folder_that_never_holds_still_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_map(tmp_path, 0, a="x")
    counted = itertools.count(1)
    read = FolderListing.read

    def swapping(self: FolderListing, name: str) -> bytes | None:
        config_map(tmp_path, next(counted), a="x")
        return read(self, name)

    monkeypatch.setattr(FolderListing, "read", swapping)
    with pytest.raises(Retry, match=r"changed while it was read, 5 times: \.\.data was repointed"):
        read_directory(tmp_path)
