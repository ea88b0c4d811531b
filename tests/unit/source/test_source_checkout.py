"""Checkouts and clones as people have them: changed, sparse, partial, new, elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.errors import NeedsEdit, Retry
from reconciler.source.directory import read_directory
from reconciler.source.git.environment import git_version
from reconciler.source.read import read_source
from tests.support.manifests.text import GRANT, PEER
from tests.support.repositories.repository import Checkout
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.source import Source


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path / "repository", beta=PEER)


def names(source: Source) -> list[str]:
    assert not source.problems
    return [file.path for file in source.files]


def test_a_folder_of_a_checkout_has_its_commit_and_is_dirty_where_it_differs(
    repository: Checkout,
) -> None:
    folder = repository.path / "manifests"

    def state() -> tuple[str | None, bool]:
        source = read_source(SourceSetting(str(folder)))
        return source.commit.id if source.commit else None, source.dirty

    index = (repository.path / ".git" / "index").read_bytes()
    (folder / "notes.txt").write_text("not read, so no difference")
    (folder / "beta.yaml").touch()
    assert state() == (repository.head, False)
    (folder / "beta.yaml").write_text(f"{PEER}# changed\n")
    assert state() == (repository.head, True)
    (folder / "beta.yaml").write_text(PEER)
    (repository.path / ".gitignore").write_text("new.yaml\n")
    (folder / "new.yaml").write_text(GRANT)
    assert state() == (repository.head, False)  # git ignores it, so it is not read
    (folder / "newer.yaml").write_text(GRANT)
    assert state() == (repository.head, True)
    (folder / "newer.yaml").unlink()
    (folder / "beta.yaml").unlink()
    assert state() == (repository.head, True)
    assert (repository.path / ".git" / "index").read_bytes() == index


@pytest.mark.parametrize("how", ["eol", "ident", "autocrlf"])
def test_what_a_checkout_writes_is_no_difference(repository: Checkout, how: str) -> None:
    repository.write(beta=f"# $Id$\n{PEER}")
    attributes = {"eol": "*.yaml text eol=crlf\n", "ident": "*.yaml ident\n", "autocrlf": ""}
    (repository.path / ".gitattributes").write_text(attributes[how])
    repository.commit("attributes")
    if how == "autocrlf":
        repository.git("config", "core.autocrlf", "true")
    beta = repository.path / "manifests" / "beta.yaml"
    beta.unlink()
    repository.git("checkout", "--", "manifests")
    assert (b"# $Id: " if how == "ident" else b"\r\n") in beta.read_bytes()
    assert repository.git("status", "--porcelain") == ""
    source = read_source(SourceSetting(str(repository.path / "manifests")))
    assert (source.commit and source.commit.id, source.dirty) == (repository.head, False)
    beta.write_bytes(beta.read_bytes() + b"# changed\r\n")
    assert read_source(SourceSetting(str(repository.path / "manifests"))).dirty


def test_a_sparse_checkout_that_leaves_manifests_out_is_refused(repository: Checkout) -> None:
    repository.write(grants=GRANT)
    (repository.path / "other").mkdir()
    (repository.path / "other" / "x").write_text("x")
    repository.commit("more")
    repository.git("sparse-checkout", "init", "--cone")
    repository.git("sparse-checkout", "set", "other")
    (repository.path / "manifests").mkdir()
    folder = SourceSetting(str(repository.path / "manifests"))
    with pytest.raises(
        NeedsEdit, match=r"leaves out 2 manifests: beta\.yaml, grants\.yaml"
    ) as caught:
        read_source(folder)
    assert caught.value.hint.startswith("git sparse-checkout disable")
    assert names(repository.read(path="manifests")) == ["beta.yaml", "grants.yaml"]
    repository.git("sparse-checkout", "disable")
    assert names(read_source(folder)) == ["beta.yaml", "grants.yaml"]


@pytest.mark.parametrize("left_out", ["sparse", "ignored"])
def test_a_checkout_whose_index_is_broken_is_refused(repository: Checkout, left_out: str) -> None:
    """What it leaves out would be revoked, and what it ignores be granted."""
    repository.write(grants=GRANT)
    repository.commit("more")
    if left_out == "sparse":
        repository.git("sparse-checkout", "init", "--cone")
        (repository.path / "manifests").mkdir()
    else:
        (repository.path / ".gitignore").write_text("draft.yaml\n")
        (repository.path / "manifests" / "draft.yaml").write_text(GRANT)
    (repository.path / ".git" / "index").write_bytes(b"")  # as a power cut may leave it
    with pytest.raises(NeedsEdit, match=r"cannot be read by git: .*index file"):
        read_source(SourceSetting(str(repository.path / "manifests")))


@pytest.mark.parametrize("broken", ["commit", "tree", "ref"])
def test_a_checkout_whose_commit_is_broken_is_refused(repository: Checkout, broken: str) -> None:
    """It was read as a plain folder, with what git ignores in it."""
    (repository.path / ".gitignore").write_text("draft.yaml\n")
    (repository.path / "manifests" / "draft.yaml").write_text(GRANT)
    repository.commit("ignore")
    folder = repository.path / ".git"
    if broken == "ref":
        broken_file = folder / "refs" / "heads" / "main"
    else:
        object_id = repository.git("rev-parse", {"commit": "HEAD", "tree": "HEAD^{tree}"}[broken])
        broken_file = folder / "objects" / object_id[:2] / object_id[2:]
        broken_file.chmod(0o600)
    broken_file.write_bytes(b"")  # as a power cut may leave it

    with pytest.raises(NeedsEdit, match=r"git.*: ") as caught:
        read_source(SourceSetting(str(repository.path / "manifests")))
    assert caught.value.code == "source_unreadable"


@pytest.mark.parametrize("kind", ["tree:0", "blob:none"])
def test_a_partial_clone_says_what_it_lacks_and_its_hint_works(
    repository: Checkout, tmp_path: Path, kind: str
) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    partial = Checkout(tmp_path / "partial.git")
    repository.git("clone", "-q", "--bare", f"--filter={kind}", repository.url, str(partial.path))
    with pytest.raises(NeedsEdit, match="this is a partial clone, and it lacks objects") as caught:
        partial.read(path="manifests")
    assert "clone it again without --filter" in caught.value.hint
    command = re.search(r"complete the clone: git (.*), or", caught.value.hint)
    if git_version() < (2, 36):
        assert command is None
        return
    assert command is not None
    partial.git(*command[1].split())
    assert names(partial.read(path="manifests")) == ["beta.yaml"]


def test_a_repository_without_a_commit_says_so(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    new = Checkout(tmp_path / "new")
    new.git("init", "-q", "-b", "main")
    for setting in (
        SourceSetting(str(new.path), "HEAD"),
        SourceSetting(new.url, None, cache=str(tmp_path / "cache")),
    ):
        with pytest.raises(NeedsEdit, match="no ref 'HEAD'") as caught:
            read_source(setting)
        assert caught.value.hint == "the repository has no commit yet, on any branch or tag"


def test_a_ref_that_is_no_commit_and_a_bundle_are_named_for_what_they_are(
    repository: Checkout, tmp_path: Path
) -> None:
    repository.git("tag", "tree", "HEAD^{tree}")
    for location in (str(repository.path), repository.url):
        with pytest.raises(NeedsEdit, match="names no commit"):
            read_source(SourceSetting(location, "tree", cache=str(tmp_path / "cache")))
    repository.git("bundle", "create", "-q", "all.bundle", "--all")
    with pytest.raises(NeedsEdit, match=r"all\.bundle is a file") as caught:
        read_source(SourceSetting(str(repository.path / "all.bundle"), "main"))
    assert "git clone" in caught.value.hint


def test_an_abbreviated_hash_is_read_here_and_named_by_the_hint_elsewhere(
    repository: Checkout, tmp_path: Path
) -> None:
    short = repository.head[:10]
    assert names(repository.read(short)) == ["manifests/beta.yaml"]
    with pytest.raises(NeedsEdit, match=f"no ref '{short}'") as caught:
        read_source(SourceSetting(repository.url, short, cache=str(tmp_path / "cache")))
    assert "name the full hash" in caught.value.hint


def test_a_work_tree_elsewhere_is_told(repository: Checkout, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    repository.git("config", "core.worktree", str(tmp_path / "elsewhere"))
    assert names(repository.read(path="manifests")) == ["beta.yaml"]
    with pytest.raises(NeedsEdit, match=r"outside of the work tree .*core\.worktree"):
        read_source(SourceSetting(str(repository.path / "manifests"), "main"))
    source = read_source(SourceSetting(str(repository.path / "manifests")))
    assert (names(source), source.commit) == (["beta.yaml"], None)


def test_a_path_that_is_a_link_names_the_folder_that_it_leads_to(repository: Checkout) -> None:
    (repository.path / "current").symlink_to("manifests")
    repository.commit("link")
    with pytest.raises(NeedsEdit, match=r"'current' of .* is a symbolic link") as caught:
        repository.read(path="current")
    assert caught.value.hint.endswith("--path manifests")
    within = read_source(SourceSetting(str(repository.path / "current"), "main"))
    assert names(within) == names(read_source(SourceSetting(str(repository.path / "current"))))


def test_a_folder_without_a_commit_has_none(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "new")], check=True)
    (tmp_path / "plain").mkdir()
    for name in ("new", "plain"):
        source = read_source(SourceSetting(str(tmp_path / name)))
        assert (source.commit, source.dirty) == (None, False)


def test_a_folder_that_git_is_switching_to_another_commit_is_read_when_that_is_done(
    repository: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter is where git is held: after it removed the file, before it wrote it elsewhere."""
    (repository.path / ".gitattributes").write_text("moved.yaml filter=gate\n")
    (repository.path / "manifests" / "README").touch()  # else git removes the folder for a moment
    repository.commit("attributes")
    repository.git("checkout", "-q", "-b", "moved")
    repository.git("mv", "manifests/beta.yaml", "manifests/moved.yaml")
    repository.commit("moved")
    repository.git("checkout", "-q", "main")
    gate = repository.path / ".git" / "gate"
    os.mkfifo(gate)
    repository.git("config", "filter.gate.smudge", f"cat '{gate}' -")
    checkout = subprocess.Popen(["git", "checkout", "-q", "moved"], cwd=repository.path)
    beta = repository.path / "manifests" / "beta.yaml"
    wait_until(lambda: not beta.exists(), "git has removed the file")
    real, readings = read_directory, []

    def read_and_go_on(*arguments: Any, **options: Any) -> Source:
        source = real(*arguments, **options)
        readings.append([file.path for file in source.files])
        if len(readings) == 1:
            gate.write_bytes(b"")
            assert checkout.wait(PATIENCE_S) == 0
        return source

    monkeypatch.setattr("reconciler.source.read.read_directory", read_and_go_on)
    source = read_source(SourceSetting(str(repository.path / "manifests")))
    assert readings == [[], ["moved.yaml"]]
    assert (names(source), source.dirty) == (["moved.yaml"], False)
    assert source.commit is not None
    assert source.commit.id == repository.head


def test_a_checkout_that_git_has_locked_is_read_once_nothing_changes_there(
    repository: Checkout,
) -> None:
    (repository.path / ".git" / "index.lock").touch()  # as `git commit -a` has it before its hooks
    assert names(read_source(SourceSetting(str(repository.path / "manifests")))) == ["beta.yaml"]


def test_a_checkout_that_git_changes_all_the_time_is_not_read(
    repository: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = read_directory

    def read_and_add(*arguments: Any, **options: Any) -> Source:
        source = real(*arguments, **options)
        repository.write(beta=f"{PEER}# {len(repository.git('log'))}\n")
        repository.commit("next")
        return source

    monkeypatch.setattr("reconciler.source.read.read_directory", read_and_add)
    with pytest.raises(Retry, match=r"git changed .*/manifests while it was read, 5 times"):
        read_source(SourceSetting(str(repository.path / "manifests")))
