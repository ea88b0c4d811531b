"""A folder as a source: what is read, what is skipped, and what is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.core.source import MAX_FILE
from reconciler.core.trust.rules import RULES_FILE
from reconciler.errors import InvalidManifests, NeedsEdit
from reconciler.manifest.load import load
from reconciler.source.directory import read_directory
from reconciler.source.names import MAX_FOLDERS
from reconciler.source.trust_rules import read_rules_of
from tests.support.manifests.text import PEER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOMEBODY: Final = 65534


def paths(root: Path) -> list[str]:
    source = read_directory(root)
    assert not source.problems
    return [file.path for file in source.files]


def problem_lines(root: Path) -> list[str]:
    with pytest.raises(InvalidManifests) as caught:
        load(read_directory(root))
    return [str(each) for each in caught.value.problems]


def test_yaml_files_are_read_from_every_folder_in_order(tmp_path: Path) -> None:
    for name in (
        "b.yaml",
        "a.yml",
        "grants/c.yaml",
        "grants/deep/d.yml",
        "notes.txt",
        "x.yaml.bak",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert paths(tmp_path) == ["a.yml", "b.yaml", "grants/c.yaml", "grants/deep/d.yml"]


def test_names_that_begin_with_a_dot_are_skipped(tmp_path: Path) -> None:
    (tmp_path / ".hidden.yaml").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.yaml").write_text("x")
    (tmp_path / ".link").symlink_to("/")
    assert paths(tmp_path) == []


def test_an_empty_folder_is_an_empty_source(tmp_path: Path) -> None:
    assert load(read_directory(tmp_path)).empty


@pytest.mark.parametrize(
    ("name", "fact"), [("none", "does not exist"), ("file", "is not a folder")]
)
def test_a_source_that_is_no_folder_is_an_error(tmp_path: Path, name: str, fact: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NeedsEdit, match=fact) as caught:
        read_directory(tmp_path / name)
    assert (caught.value.code, caught.value.exit_code) == ("source_unreadable", 1)


@pytest.mark.parametrize("name", ["BETA.YAML", "beta.Yml", "beta.yaml ", "sub/beta.YML"])
def test_a_name_that_nearly_ends_as_a_manifests_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(PEER)
    (problem,) = read_directory(tmp_path).problems
    assert (problem.file, problem.code) == (name, "file.name")
    assert problem.hint == f"rename it to {Path(name.strip()).suffix.lower()}"


def test_a_pointer_of_lfs_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "beta.yaml").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\n"
        "size 12345\n"
    )
    (problem,) = read_directory(tmp_path).problems
    assert problem.code == "file.lfs"
    assert "pointer of Git LFS" in problem.message


def test_lost_and_found_is_not_looked_into(folder_of_somebody: Path) -> None:
    (folder_of_somebody / "a.yaml").write_text(PEER)
    (folder_of_somebody / "lost+found").mkdir(mode=0)
    assert paths(folder_of_somebody) == ["a.yaml"]


def test_special_files_are_refused_and_do_not_stall(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(tmp_path, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket.yaml")
        os.close(here)
    expected = "1:1: error[file.special] this is not a regular file (remove it)"
    assert problem_lines(tmp_path) == [f"{name}.yaml:{expected}" for name in ("fifo", "socket")]


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "link to a device"]
)
def test_rules_of_trust_that_are_no_file_are_refused_and_do_not_stall(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / RULES_FILE)
    with pytest.raises(NeedsEdit, match="is not a regular file"):
        read_rules_of(SourceSetting(str(tmp_path)), read_directory(tmp_path))


def test_256_kib_are_read_and_one_octet_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(PEER + "#" * (MAX_FILE - len(PEER)))
    assert not load(read_directory(tmp_path)).empty
    path.write_text(PEER + "#" * (MAX_FILE - len(PEER) + 1))
    assert problem_lines(tmp_path) == [
        "a.yaml:1:1: error[file.too_large] the file is larger than 256 KiB (split it)"
    ]


def test_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    for name in ("Beta.yaml", "beta.yaml"):
        (tmp_path / name).write_text(PEER)
    assert problem_lines(tmp_path) == [
        (
            'beta.yaml:1:1: error[file.case] the name differs from "Beta.yaml" only in case'
            " (rename one of them)"
        )
    ]


@pytest.mark.parametrize(
    "name", [b"a\x1b[31m.yaml", b"a\n.yaml", b"\xff.yaml", b"a\xe2\x80\xae.yaml"]
)
def test_names_that_do_not_print_are_refused_and_shown_escaped(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_text(PEER)
    (result,) = problem_lines(tmp_path)
    assert "error[file.name]" in result
    assert result.isprintable()


def test_the_problems_of_files_and_of_manifests_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("none")
    (tmp_path / "b.yaml").write_text("")
    assert [each.split(" ")[1] for each in problem_lines(tmp_path)] == [
        "error[file.link]",
        "error[file.empty]",
    ]


@pytest.fixture
def folder_of_somebody() -> Iterator[Path]:
    """A folder, as seen by somebody who is not root: root reads everything."""
    root = os.geteuid() == 0
    with TemporaryDirectory() as made:
        folder = Path(made)
        if root:
            os.chown(folder, SOMEBODY, SOMEBODY)
            os.seteuid(SOMEBODY)
        try:
            yield folder
        finally:
            for each in (folder, *folder.rglob("*")):
                each.chmod(0o700)
            if root:
                os.seteuid(0)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.yaml", 0), ("folder", 0), ("folder", 0o444), ("folder", 0o111)]
)
@pytest.mark.parametrize("inner", ["b.yaml", "deeper/b.yaml"])
def test_what_may_not_be_read_stops_all(
    folder_of_somebody: Path, name: str, mode: int, inner: str
) -> None:
    source = folder_of_somebody
    (source / "folder" / inner).parent.mkdir(parents=True)
    (source / "folder" / inner).write_text(PEER)
    (source / "a.yaml").write_text(PEER)
    (source / name).chmod(mode)
    with pytest.raises(NeedsEdit, match=f"{name}.* cannot be read") as caught:
        read_directory(source)
    assert caught.value.code == "source_unreadable"


@pytest.mark.parametrize("depth", [MAX_FOLDERS, MAX_FOLDERS + 1])
def test_folders_are_read_to_a_depth(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["d"] * depth)
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("x")
    if depth <= MAX_FOLDERS:
        assert len(paths(tmp_path)) == 1
        return
    with pytest.raises(NeedsEdit, match="are nested deeper than 64") as caught:
        read_directory(tmp_path)
    assert caught.value.code == "source_unreadable"
