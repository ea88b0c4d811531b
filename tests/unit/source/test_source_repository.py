"""A repository as a source: what is read, what is refused by name, and what does not run."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.model.commits import Relation
from reconciler.core.setting_values import SourceSetting, is_url
from reconciler.errors import NeedsEdit
from reconciler.process import ProcessResult
from reconciler.source.git.errors import error_summary
from reconciler.source.git.remote import Remote
from reconciler.source.read import read_source
from tests.support.manifests.text import GRANT, PEER
from tests.support.repositories.repository import Checkout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.core.source import Source

HEX: Final = r"[0-9a-f]{12}"


def names(source: Source) -> list[str]:
    assert not source.problems
    return [file.path for file in source.files]


def test_a_ref_is_read_whatever_the_work_tree_holds(repository: Checkout) -> None:
    repository.write(grants=GRANT)
    (repository.path / "manifests" / "beta.yaml").write_text("changed, and not committed")
    source = repository.read()
    assert [(each.path, each.content) for each in source.files] == [
        ("manifests/beta.yaml", PEER.encode())
    ]
    assert source.label == f"{repository.path}@{repository.head[:12]}"
    assert not source.dirty


def test_a_commit_has_its_author_and_its_subject(repository: Checkout) -> None:
    made = repository.commit("Grant \x1b[31m Ünï\n\nand more", "--date=2026-01-02T03:04:05+02:00")
    commit = repository.read().commit
    assert commit is not None
    assert (commit.id, commit.author) == (made, "Ada Lovelace <ada@alpha.example>")
    assert commit.subject == "Grant \\x1b[31m Ünï"
    assert commit.at.isoformat() == "2026-01-02T01:04:05+00:00"


def test_a_path_within_is_read_alone_and_names_are_relative_to_it(repository: Checkout) -> None:
    (repository.path / "other.yaml").write_text("not ours")
    (repository.path / "manifests" / ".hidden.yaml").write_text("skipped")
    (repository.path / "manifests" / "notes.txt").write_text("skipped")
    repository.commit("more")
    for path in ("manifests", "manifests/", "./manifests"):
        source = repository.read(path=path)
        assert names(source) == ["beta.yaml"]
        assert source.label.endswith(":manifests")
    within = read_source(SourceSetting(str(repository.path / "manifests"), "main"))
    assert (names(within), within.label) == (["beta.yaml"], source.label)


def test_a_bare_repository_and_a_second_work_tree_are_read_in_place(repository: Checkout) -> None:
    bare, second = repository.path.with_name("bare.git"), repository.path.with_name("second")
    repository.git("clone", "-q", "--bare", ".", str(bare))
    repository.git("worktree", "add", "-q", "-b", "side", str(second))
    for place, ref in ((bare, "main"), (second, "side")):
        assert names(read_source(SourceSetting(str(place), ref))) == ["manifests/beta.yaml"]


def test_a_branch_is_read_before_a_tag_of_its_name(repository: Checkout) -> None:
    repository.git("tag", "-a", "-m", "x", "v1")
    tagged = repository.head
    newer = repository.commit("newer")
    repository.git("tag", "main", tagged)
    values = {ref: repository.read(ref).commit for ref in ("main", "v1", tagged, "HEAD~1", "HEAD")}
    ids = [each.id if each else None for each in values.values()]
    assert ids == [newer, tagged, tagged, tagged, newer]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (("{path}", "-x"), "the ref '-x' begins with a dash"),
        (("{path}", "mian"), "the repository has no ref 'mian'"),
        (("{path}", "main", "none"), f"{HEX} has no folder 'none'"),
        (("{path}", "main", "manifests/beta.yaml"), f"{HEX} has no folder"),
        (("{path}", "main", "../x"), "is not a path within a repository"),
        (("{path}", "main", "/etc"), "is not a path within a repository"),
        (("{path}", "main", "-x"), "the path '-x' begins with a dash"),
        (("{path}/..", "main"), "is in no git repository"),
        (("{path}/none", "main"), "does not exist"),
        (("{url}", "-x"), "the ref '-x' begins with a dash"),
        (("{url}", "mian"), "the repository has no ref 'mian'"),
        (("{url}", "main~1"), "is not a ref of a remote"),
        (("--upload-pack=touch://x",), "the source '--upload-pack=touch://x' begins with a dash"),
        (("ext::touch x",), "contains an invalid character"),
        (("ext::x",), "is not supported: a source is an https, ssh or file URL"),
        (("ext::https://x/y",), "is not supported"),
        (("http://alpha.example/x",), "is not supported"),
        (("git://alpha.example/x",), "is not supported"),
        (("ssh://-oProxyCommand=x/y",), "the host of 'ssh://-oProxyCommand=x/y' begins with"),
        (("-x@-y:z",), "the source '-x@-y:z' begins with a dash"),
        (("https://alpha.example",), "is not the URL of a repository"),
        (("file://alpha.example/x",), "is not the URL of a repository"),
    ],
)
def test_what_names_no_commit_is_refused_before_git_obeys_it(
    repository: Checkout, tmp_path: Path, setting: tuple[str, ...], message: str
) -> None:
    place, ref, path = (*setting, None, None)[:3]
    location = str(place).format(path=repository.path, url=repository.url)
    with pytest.raises(NeedsEdit, match=message) as caught:
        read_source(SourceSetting(location, ref, path, str(tmp_path / "cache")))
    assert (caught.value.code, caught.value.exit_code) == ("source_unreadable", 1)


def test_an_unknown_ref_names_those_that_are_near(repository: Checkout, tmp_path: Path) -> None:
    repository.git("branch", "stable")
    for location in (str(repository.path), repository.url):
        with pytest.raises(NeedsEdit) as caught:
            read_source(SourceSetting(location, "stabel", cache=str(tmp_path / "cache")))
        assert caught.value.hint == "did you mean 'stable'? it has main, stable"


@pytest.mark.parametrize("url", ["https://u:s3cret@h.example/x", "https://s3cret@h.example/x"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(NeedsEdit, match="holds credentials") as caught:
        Remote.parse(url)
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
    assert "netrc" in caught.value.hint


def test_what_git_says_is_one_printable_line_without_credentials() -> None:
    errors = b"warning: x\nfatal: no 'https://u:s3cret@h.example/x'\x1b[31m\nmore\n"
    line = error_summary(ProcessResult(128, b"", errors))
    assert line == "warning: x; fatal: no 'https://h.example/x'\\x1b[31m; more"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/x", True),
        ("ext::x", True),
        ("git@h:x", True),
        ("manifests", False),
        ("/a@b:c", False),
        ("./a@b:c", False),
        ("a/b@c:d", False),
    ],
)
def test_a_url_is_told_from_a_path(text: str, expected: bool) -> None:
    assert is_url(text) is expected


@pytest.mark.parametrize(
    ("applied", "relation"),
    [
        (lambda first, _: first, Relation.FORWARD),
        (lambda _, tip: tip, Relation.SAME),
        (lambda _, __: "", Relation.FIRST),
        (lambda _, __: "a" * 40, Relation.UNKNOWN),
        (lambda _, __: "--all", Relation.UNKNOWN),
    ],
)
def test_the_commit_that_was_read_is_related_to_the_applied_one(
    repository: Checkout, applied: Callable[[str, str], str], relation: Relation
) -> None:
    first = repository.head
    tip = repository.commit("second")
    history = repository.read(applied=applied(first, tip)).history
    assert history is not None
    assert history.relation is relation


def test_a_shallow_clone_does_not_call_a_rewind_what_it_cannot_know(repository: Checkout) -> None:
    first = repository.head
    for subject in ("second", "third"):
        repository.commit(subject)
    shallow = Checkout(repository.path.with_name("shallow"))
    repository.git("clone", "-q", "--depth=1", repository.url, str(shallow.path))
    shallow.git("fetch", "-q", "--depth=1", "origin", f"{first}:refs/heads/first")
    history = shallow.read(applied=first).history
    assert history is not None
    assert history.relation is Relation.UNKNOWN


def test_the_rules_of_trust_are_those_at_the_root_of_the_commit(repository: Checkout) -> None:
    rules = repository.path / ".mosaic-trust.yaml"
    rules.write_text("signers: []\n")
    repository.commit("rules")
    rules.write_text("not committed")
    history = repository.read(path="manifests").history
    assert history is not None
    assert history.rules == "signers: []\n"
    rules.unlink()
    rules.symlink_to("/etc/passwd")
    repository.commit("link")
    with pytest.raises(NeedsEdit, match="is not a regular file"):
        repository.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_checkout_of_somebody_else_is_read(repository: Checkout) -> None:
    for path in (repository.path, *repository.path.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    assert names(repository.read()) == ["manifests/beta.yaml"]
    assert read_source(SourceSetting(str(repository.path))).commit is not None


def test_the_hash_of_a_sha256_repository_is_as_long_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.mkdir()
    made = Checkout(path)
    made.git("init", "-q", "-b", "main", "--object-format=sha256")
    made.write(beta=PEER)
    tip = made.commit("first")
    assert len(tip) == hashlib.sha256().digest_size * 2
    remote = SourceSetting(made.url, "main", cache=str(tmp_path / "cache"))
    for item in (made.read(), read_source(remote), read_source(SourceSetting(str(path)))):
        assert (item.commit and item.commit.id, item.dirty) == (tip, False)
