"""A repository that means harm: it is refused by name, and nothing that it configures runs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.model.commits import Relation
from reconciler.core.setting_values import SourceSetting
from reconciler.core.source import MAX_FILE
from reconciler.errors import NeedsEdit
from reconciler.source.git.command import Repository
from reconciler.source.read import read_source
from tests.support.manifests.text import PEER, problem_lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.repositories.repository import Checkout


def test_a_hostile_tree_is_refused_by_name(repository: Checkout) -> None:
    blob = repository.object("blob", PEER.encode())
    link = repository.object("blob", b"/etc/passwd")
    huge = repository.object("blob", b"#" * (MAX_FILE + 1))
    outside = repository.tree(("100644", b"evil.yaml", blob))
    tree = repository.tree(
        ("40000", b"..", outside),
        ("40000", b".git", outside),
        ("100644", b"Case.yaml", blob),
        ("100644", b"a\x1b[31m.yaml", blob),
        ("100644", b"case.yaml", blob),
        ("120000", b"folder", link),
        ("100644", b"huge.yaml", huge),
        ("120000", b"link.yaml", link),
        ("160000", b"module", repository.head),
        ("100755", b"run.yaml", blob),
        ("100644", b"twice.yaml", blob),
        ("100644", b"twice.yaml", huge),
        ("100644", b"\xff.yaml", blob),
        ("100644", b"/etc/x.yaml", blob),
    )
    repository.commit_tree(tree, "hostile")
    source = repository.read("hostile")
    assert [file.path for file in source.files] == ["Case.yaml", "run.yaml", "twice.yaml"]
    assert [(each.file, each.code) for each in sorted(source.problems)] == [
        ("../evil.yaml", "file.name"),
        ("/etc/x.yaml", "file.name"),
        ("\\udcff.yaml", "file.name"),
        ("a\\x1b[31m.yaml", "file.name"),
        ("case.yaml", "file.case"),
        ("folder", "file.link"),
        ("huge.yaml", "file.too_large"),
        ("link.yaml", "file.link"),
        ("module", "file.special"),
        ("twice.yaml", "file.name"),
    ]
    assert all(each.isprintable() for each in problem_lines(source))
    assert [each.message for each in source.problems if each.file == "module"] == [
        "this is a submodule, which is not followed"
    ]


def test_a_huge_blob_is_known_by_its_size_and_not_read(
    repository: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (repository.path / "manifests" / "big.yaml").open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    repository.commit("big")
    nones: list[bytes | None] = []
    run = Repository.run

    def watched(self: Repository, *args: str, **rest: Any) -> bytes:
        nones.append(rest.get("content"))
        return run(self, *args, **rest)

    monkeypatch.setattr(Repository, "run", watched)
    assert "error[file.too_large]" in problem_lines(repository.read())[0]
    beta = repository.git("rev-parse", "HEAD:manifests/beta.yaml")
    assert [each for each in nones if each] == [f"{beta}\n".encode()]


def test_a_tree_that_grows_without_end_is_given_up(repository: Checkout) -> None:
    tree = repository.tree(("100644", b"a.yaml", repository.object("blob", b"x")))
    for _ in range(9):
        entries = [("40000", b"d%02d" % each, tree) for each in range(10)]
        tree = repository.tree(*entries)
    repository.commit_tree(tree, "bomb")
    with pytest.raises(NeedsEdit, match="git ls-tree printed more than 64 MiB"):
        repository.read("bomb")


def test_nothing_that_a_repository_configures_is_run(repository: Checkout, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    hooks = repository.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change"):
        (hooks / hook).symlink_to(program)
    (repository.path / "manifests" / ".gitattributes").write_text("*.yaml filter=x diff=x\n")
    repository.git("add", "-A")
    repository.git("commit", "-q", "-m", "attributes")
    for name in (
        *("core.fsmonitor", "core.sshCommand", "core.pager", "gpg.program", "diff.external"),
        *("filter.x.clean", "filter.x.smudge", "diff.x.textconv", "diff.x.command"),
        *("core.alternateRefsCommand", "core.askPass", "credential.helper", "core.gitProxy"),
        *("gpg.ssh.program", "gpg.ssh.defaultKeyCommand", "uploadpack.packObjectsHook"),
        *("core.editor", "filter.x.process", "trailer.x.command", "trailer.x.cmd"),
    ):
        repository.git("config", name, str(program))
    repository.git("config", "log.showSignature", "true")
    repository.git("config", "core.hooksPath", str(hooks))
    ran.unlink(missing_ok=True)
    (repository.path / "manifests" / "beta.yaml").touch()
    setting = SourceSetting(repository.url, "main", cache=str(tmp_path / "cache"))
    for source in (
        repository.read(applied=repository.head),
        read_source(SourceSetting(str(repository.path / "manifests"))),
        read_source(setting),
    ):
        assert source.commit is not None
    assert not ran.exists()
    repository.git("status")
    assert ran.exists()  # as git by itself would have


def test_a_replaced_object_and_a_graft_are_not_believed(repository: Checkout) -> None:
    first = repository.head
    second = repository.commit("second")
    repository.write(evil=PEER)
    repository.git("checkout", "-q", "--orphan", "side")
    other = repository.commit("other")
    repository.git("replace", second, other)
    (repository.path / ".git" / "info").mkdir(exist_ok=True)
    (repository.path / ".git" / "info" / "grafts").write_text(f"{other} {second}\n")
    source = repository.read("main", applied=first)
    assert (source.commit and source.commit.subject, len(source.files)) == ("second", 1)
    assert source.history is not None
    assert source.history.relation is Relation.FORWARD
    rewound = repository.read("side", applied=second).history
    assert rewound is not None
    assert rewound.relation is Relation.REWIND


@pytest.mark.parametrize("how", ["url", "uploadpack", "vcs"])
def test_an_object_that_is_missing_is_not_fetched(
    repository: Checkout, tmp_path: Path, how: str
) -> None:
    ran, program = tmp_path / "ran", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    away = repository.path.with_name("away")
    repository.git("clone", "-q", "--bare", ".", str(away))
    values = {
        "url": {"url": f"ext::{program}"},
        "uploadpack": {"url": str(away), "uploadpack": str(program)},
        "vcs": {"url": str(program), "vcs": "ext"},
    }
    for name, value in {**values[how], "promisor": "true", "partialclonefilter": "x"}.items():
        repository.git("config", f"remote.origin.{name}", value)
    repository.git("config", "protocol.ext.allow", "always")
    repository.git("config", "core.repositoryFormatVersion", "1")
    repository.git("config", "extensions.partialClone", "origin")
    blob = repository.git("rev-parse", "HEAD:manifests/beta.yaml")
    (repository.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(NeedsEdit, match="is missing: this is a partial clone"):
        repository.read()
    assert not ran.exists()
    subprocess.run(["git", "cat-file", "-p", blob], cwd=repository.path, check=False)
    assert ran.exists()  # as git by itself would have
