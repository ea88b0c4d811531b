"""A reading from the cache is the reading of every file, whatever was done to the files between."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.errors import InvalidManifests
from reconciler.manifest.cache import ManifestCache
from reconciler.reconcile import read
from reconciler.source import directory
from reconciler.source.folder_listing import FolderListing
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.core.model.spec import Desired

FILES: Final = tuple(f"{name}.yaml" for name in "abcdef")
STEPS: Final = 20
OLD_NS: Final = 1_000_000_000_000_000_000


def text_of(random_of: random.Random, name: str) -> str:
    """A manifest: mostly of the file's own name, of one of few sizes, and now and then wrong."""
    wrong = ("", "kind: Grant\n", grant_manifest("a"), grant_manifest(name, peer="nobody"))
    right = [grant_manifest(name, rows=rows) for rows in (111, 222, 3333)]
    return random_of.choice(wrong) if random_of.random() < 0.1 else random_of.choice(right)


def write_in_place(path: Path, text: str) -> None:
    """Write a file until its file system's clock tells that from the write before."""
    before = path.stat().st_ctime_ns if path.exists() else None
    path.write_text(text)
    while path.stat().st_ctime_ns == before:
        path.write_text(text)


def edit(folder: Path, random_of: random.Random) -> None:
    """Do one of the things that happen to files, and do not all show in the same part of a stat."""
    one, other = (folder / name for name in random_of.sample(FILES, 2))
    beside = folder / ".beside"
    text = text_of(random_of, one.stem)
    match random_of.choice(("write", "new inode", "touch", "swap", "remove", "link", "hard link")):
        case "write" if not one.is_symlink():
            write_in_place(one, text)
        case "new inode":
            beside.write_text(text)
            if one.exists():
                os.utime(beside, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
            beside.rename(one)
        case "touch" if one.exists():
            os.utime(one, ns=(OLD_NS, random_of.choice((OLD_NS, 2 * OLD_NS))))
        case "swap" if one.exists() and other.exists():
            one.rename(beside)
            other.rename(one)
            beside.rename(other)
        case "remove":
            one.unlink(missing_ok=True)
        case "link":
            one.unlink(missing_ok=True)
            one.symlink_to(other.name)
        case "hard link" if other.is_file():
            one.unlink(missing_ok=True)
            os.link(other, one)


def declared(setting: SourceSetting, *, verify: bool = False) -> Desired | list[str]:
    try:
        return read(setting, "user:tests", verify=verify).desired
    except InvalidManifests as error:
        return [str(each) for each in error.problems]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("believed", [False, True], ids=["racy", "old enough"])
@pytest.mark.parametrize("in_git", [False, True], ids=["folder", "checkout"])
def test_a_warm_reading_is_the_cold_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, believed: bool, in_git: bool
) -> None:
    if believed:  # what was written just now counts as written long ago
        monkeypatch.setattr(directory, "RACY_NS", -(10**18))
    random_of = random.Random(seed)
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "beta.yaml").write_text(peer_manifest())
    for name in FILES:
        (folder / name).write_text(grant_manifest(name[0], rows=111))
    if in_git:
        commit(tmp_path)
    setting = SourceSetting(str(folder), cache=str(tmp_path / "cache"))
    for step in range(STEPS):
        for _ in range(random_of.choice((0, 1, 3))):
            edit(folder, random_of)
        if in_git and step == STEPS // 2:
            commit(tmp_path)
        assert declared(setting) == declared(setting, verify=True), f"step {step} of seed {seed}"


def commit(folder: Path) -> None:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@alpha.example")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "--allow-empty", "-m", "x")):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that are read from now on."""
    names: list[str] = []
    really = FolderListing.read

    def seen(listing: FolderListing, name: str) -> bytes | None:
        names.append(name)
        return really(listing, name)

    monkeypatch.setattr(FolderListing, "read", seen)
    return names


@pytest.fixture
def setting(tmp_path: Path) -> SourceSetting:
    folder = tmp_path / "manifests"
    folder.mkdir()
    for name, text in (("a", grant_manifest("a")), ("beta", peer_manifest())):
        (folder / f"{name}.yaml").write_text(text)
    return SourceSetting(str(folder), cache=str(tmp_path / "cache"))


def test_a_file_is_read_again_for_two_seconds_after_it_was_written(
    setting: SourceSetting, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(setting)
    declared(setting)
    assert opened == ["a.yaml", "beta.yaml"] * 2
    monkeypatch.setattr(directory, "RACY_NS", -(10**18))
    declared(setting)
    assert opened == ["a.yaml", "beta.yaml"] * 3
    declared(setting)
    assert opened == ["a.yaml", "beta.yaml"] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text(path.read_text().replace("500", "501")),
        lambda path: os.utime(path, ns=(OLD_NS, OLD_NS)),
        lambda path: path.chmod(0o600),
        lambda path: (path.with_suffix(".new").write_bytes(path.read_bytes()), path.unlink()),
    ],
    ids=["same size", "mtime", "mode", "moved"],
)
def test_only_a_file_that_looks_otherwise_is_read(
    setting: SourceSetting,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(directory, "RACY_NS", -(10**18))
    declared(setting)
    opened.clear()
    path = tmp_path / "manifests" / "a.yaml"
    before = path.stat().st_ctime_ns
    while path.exists() and path.stat().st_ctime_ns == before:
        change(path)
    if path.exists():
        declared(setting)
        assert opened == ["a.yaml"]
    else:
        assert declared(setting) == declared(setting, verify=True)


def test_a_tree_that_is_as_it_was_is_neither_listed_nor_read(
    tmp_path: Path, setting: SourceSetting
) -> None:
    commit(tmp_path)
    of_git = SourceSetting(str(tmp_path), "HEAD", "manifests", str(tmp_path / "cache"))
    first = declared(of_git)
    index = ManifestCache(tmp_path / "cache").index
    assert index.tree is not None
    assert list(index.files) == ["a.yaml", "beta.yaml"]
    assert declared(of_git) == first == declared(of_git, verify=True)
    (tmp_path / "manifests" / "a.yaml").write_text(grant_manifest("a", rows=7))
    commit(tmp_path)
    assert declared(of_git) == declared(of_git, verify=True) != first
    (tmp_path / "manifests" / "link.yaml").symlink_to("../manifests/a.yaml")
    commit(tmp_path)
    assert declared(of_git) == declared(of_git, verify=True)
