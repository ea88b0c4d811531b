"""A folder and a ref of the same tree are read alike: the same files, or the same problems."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.core.setting_values import SourceSetting
from reconciler.errors import MosaicError
from reconciler.source.read import read_source
from tests.support.manifests.text import PEER
from tests.support.repositories.repository import Checkout

FOLDERS: Final = ("", "sub/", "sub/deep/", "Sub/", ".hidden/", "lost+found/", "build/", "x.yaml/")
NAMES: Final = (
    *("a.yaml", "A.yaml", "b.yml", "b.YML", "c.YAML", "a.yaml~", "a.yaml.bak", ".a.yaml.swp"),
    *(" a.yaml", "a.yaml ", ".yaml", "yaml", "CLAUDE.md", "LICENSE", "conf.d", "\udcff.yaml"),
    *("a\x1b.yaml", "\u202e.yaml", "\u00e9.yaml", "e\u0301.yaml", "lost+found", "sub"),
)
TARGETS: Final = (
    *("a.yaml", "sub", "sub/a.yaml", "sub/../a.yaml", "../a.yaml", "../../a.yaml", "..", "."),
    *("a.yaml/", "/etc", "/etc/hostname", "/nowhere", "nowhere", "../nowhere", ".hidden/a.yaml"),
    *("CLAUDE.md", "conf.d", ".git/config", "../.git/config", "../outside", "../outside/a.yaml"),
    *("LICENSE", "sub/deep", "x.yaml", "module", "module/a.yaml", "../../../../etc", "./sub//."),
)
IGNORED: Final = ("", "build/\n", "*.yml\n", "sub\n", "!a.yaml\n*\n", "/CLAUDE.md\n")


@dataclass(frozen=True)
class Item:
    """A name of a tree: a file with its content, a link with its target, or a repository."""

    name: str
    kind: str
    text: str = ""


items = st.builds(
    lambda folder, name, kind, content, target: Item(
        f"{folder}{name}", kind, content if kind in ("file", "program") else target
    ),
    st.sampled_from(FOLDERS),
    st.sampled_from(NAMES),
    st.sampled_from(("file", "file", "program", "link", "link", "link")),
    st.sampled_from(
        (PEER, "", "x\r\n", "version https://git-lfs.github.com/spec/v1\n", "#" * 262145)
    ),
    st.sampled_from(TARGETS),
)
modules = st.builds(
    Item, st.sampled_from(("module", "sub/module", ".module")), st.just("repository")
)
gits = st.builds(
    Item,
    st.sampled_from(("sub/.git", "deep/.git")),
    st.sampled_from(("file", "folder")),
    st.just("not git's"),
)


@dataclass(frozen=True)
class Nested:
    """A repository with one commit, to be copied."""

    path: Path


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Nested:
    made = Checkout.make(tmp_path_factory.mktemp("nested") / "repository", a=PEER)
    return Nested(made.path)


def lay_out(folder: Path, tree: list[Item], nested: Nested) -> None:
    """Make a tree on disk, but for names that another of its items is in the way of."""
    for item in tree:
        path = folder / item.name
        with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path) or any(each.is_symlink() for each in path.parents):
                continue
            if item.kind == "link":
                path.symlink_to(item.text)
            elif item.kind == "repository":
                shutil.copytree(nested.path, path)
            elif item.kind == "folder":
                path.mkdir()
            else:
                path.write_text(item.text)
                path.chmod(0o755 if item.kind == "program" else 0o644)


def reading(setting: SourceSetting) -> Any:
    """Return all that a reading comes to, in a form that compares."""
    try:
        source = read_source(setting)
    except MosaicError as error:
        return error.code
    return (
        [(each.path, each.content) for each in source.files],
        sorted((each.file, each.code, each.message) for each in source.problems),
        source.commit.id if source.commit else None,
    )


def compare(tree: list[Item], ignored: str, nested: Nested, *places: str) -> list[Any]:
    """Return what both readings of each place came to, which are equal."""
    with TemporaryDirectory() as name:
        made = Checkout.make(Path(name) / "repository", beta=PEER)
        (made.path / "outside").mkdir()
        (made.path / "outside" / "a.yaml").write_text(PEER)
        source = made.path / "manifests"
        lay_out(source, tree, nested)
        (source / ".gitignore").write_text(ignored)
        quiet = ("-c", "advice.addEmbeddedRepo=false", "-c", "core.safecrlf=false")
        added = subprocess.run(
            ["git", *quiet, "add", "-A"], cwd=made.path, capture_output=True, check=False
        )
        if added.returncode != 0:  # what git itself cannot take is no tree of it
            return []
        made.git("commit", "-q", "--allow-empty", "-m", "tree")
        results = []
        for place in places:
            folder = reading(SourceSetting(str(made.path / place)))
            tree_of_it = reading(SourceSetting(str(made.path), "main", place or None))
            assert folder == tree_of_it, place
            results.append(folder)
        return results


@given(
    st.lists(items | items | items | modules | gits, max_size=8),
    st.sampled_from(IGNORED),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example([Item("CLAUDE.md", "link", "AGENTS.md")], "")
@example([Item("CLAUDE.md", "link", "/home/ada/AGENTS.md")], "")
@example([Item("sub", "link", "/etc")], "")
@example([Item("e/f", "folder"), Item("a.yaml", "link", "e"), Item("x", "link", "e")], "")
@example(
    [Item("e", "folder"), Item("x.yaml", "file", PEER), Item("a.yaml", "link", "e/../x.yaml")], ""
)
@example([Item("build/a", "file", PEER), Item("a.yaml", "link", "build/a")], "build/\n")
@example([Item("build/a", "file", "x"), Item("x", "link", "build")], "build/\n")
@example([Item("build/x.yaml", "file", "junk"), Item("module", "repository")], "build/\nmodule/\n")
def test_a_folder_and_a_ref_of_any_tree_are_read_alike(
    nested: Nested, tree: list[Item], ignored: str
) -> None:
    compare(tree, ignored, nested, "manifests", "")


def codes(tree: list[Item], nested: Nested, ignored: str = "") -> set[tuple[str, str]]:
    ((_, problems, _),) = compare(tree, ignored, nested, "manifests")
    return {(file, code) for file, code, _ in problems}


@pytest.mark.parametrize(
    "target", ["AGENTS.md", "../outside/a.yaml", "../../none", "/home/ada/AGENTS.md", "CLAUDE.md"]
)
def test_a_link_that_is_no_manifest_is_passed_over(nested: Nested, target: str) -> None:
    assert codes([Item("CLAUDE.md", "link", target)], nested) == set()


@pytest.mark.parametrize("target", ["../outside", "/etc", "../../..", "real", "."])
def test_a_link_that_hides_a_folder_is_refused(nested: Nested, target: str) -> None:
    tree = [Item("real/a.txt", "file", "x"), Item("more", "link", target)]
    assert codes(tree, nested) == {("more", "file.link")}


def test_a_link_to_a_file_within_is_read_as_that_file(nested: Nested) -> None:
    tree = [
        Item(".data/v1/a.txt", "file", PEER),
        Item(".current", "link", ".data/v1"),
        Item("a.yaml", "link", ".current/a.txt"),
    ]
    ((files, problems, _),) = compare(tree, "", nested, "manifests")
    assert problems == []
    assert dict(files)["a.yaml"] == PEER.encode()


def test_a_submodule_is_refused_whether_or_not_it_is_filled(nested: Nested, tmp_path: Path) -> None:
    assert codes([Item("module", "repository")], nested) == {("module", "file.special")}
    made = Checkout.make(tmp_path / "repository", beta=PEER)
    made.git("update-index", "--add", "--cacheinfo", f"160000,{made.head},manifests/module")
    made.git("commit", "-q", "-m", "module")
    for setting in (
        SourceSetting(str(made.path / "manifests")),
        SourceSetting(str(made.path), "main", "manifests"),
    ):
        (problem,) = read_source(setting).problems
        assert (problem.file, problem.code) == ("module", "file.special")


def test_what_git_ignores_is_not_read_and_told_once(
    nested: Nested, caplog: pytest.LogCaptureFixture
) -> None:
    tree = [Item("build/x.yaml", "file", "junk"), Item("vendor", "repository")]
    assert codes(tree, nested, "build/\nvendor/\n") == set()
    assert "git ignores build/x.yaml, so they are not read" in caplog.text


def test_a_folder_that_the_repository_ignores_as_a_whole_is_its_owners(tmp_path: Path) -> None:
    """As in a home folder that is a repository of dotfiles, where all else is ignored."""
    home = Checkout.make(tmp_path / "home")
    (home.path / ".gitignore").write_text("*\n")
    home.git("add", "-f", ".gitignore")
    home.git("commit", "-q", "-m", "dotfiles")
    home.write(beta=PEER)
    assert [each.path for each in read_source(SourceSetting(str(home.path))).files] == [
        "manifests/beta.yaml"
    ]
