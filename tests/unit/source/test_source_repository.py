"""A repository as a source: what is read, what is refused by name, and what does not run."""

from __future__ import annotations

import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.core.model.commits import Relation
from reconciler.core.setting_values import SourceSetting, is_url
from reconciler.core.source import MAX_FILE, Source
from reconciler.errors import InvalidManifests, NeedsEdit, Retry
from reconciler.manifest.load import load
from reconciler.process import Bounds, ProcessResult, end_running
from reconciler.source.git.command import Repository
from reconciler.source.git.errors import error_summary
from reconciler.source.git.remote import Remote, cache_folder
from reconciler.source.read import read_source
from tests.support.manifests.text import GRANT, PEER
from tests.support.repositories.repository import Checkout
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

HEX: Final = r"[0-9a-f]{12}"
VERSIONED: Final = '[ "$1" != --version ] || exec echo git version 2.39.5\n'


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path / "repository", beta=PEER)


def names(source: Source) -> list[str]:
    assert not source.problems
    return [file.path for file in source.files]


def problem_lines(source: Source) -> list[str]:
    with pytest.raises(InvalidManifests) as caught:
        load(source)
    return [str(each) for each in caught.value.problems]


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


def test_without_git_a_folder_is_read_and_a_repository_says_so(
    repository: Checkout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert read_source(SourceSetting(str(repository.path))).commit is None
    assert "there is no git program" in caplog.text
    with pytest.raises(NeedsEdit, match="there is no git program on the PATH"):
        repository.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_checkout_of_somebody_else_is_read(repository: Checkout) -> None:
    for path in (repository.path, *repository.path.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    assert names(repository.read()) == ["manifests/beta.yaml"]
    assert read_source(SourceSetting(str(repository.path))).commit is not None


def test_a_git_that_hangs_is_ended_with_all_its_children(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids, program = tmp_path / "pids", tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{VERSIONED}sleep 300 & echo $! $$ > {pids}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(Retry, match="git log took longer than 3 s") as caught:
        Repository(repository.path / ".git").run("log", bounds=Bounds(3.0, 100))
    assert caught.value.code == "source_unavailable"
    begun = pids.read_text().split()
    assert len(begun) == 2
    wait_until(lambda: not any(_runs(each) for each in begun), "they are ended")


def test_what_is_told_to_stop_waits_for_no_git(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, program = tmp_path / "begun", tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{VERSIONED}touch {begun}\nsleep 300\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(repository.read)
        wait_until(begun.exists, "git runs")
        end_running()
        with pytest.raises(Retry, match="git rev-parse was ended by signal 9"):
            reading.result(PATIENCE_S)


def _runs(pid: str) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_cache_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NeedsEdit, match="others may write to it"):
        cache_folder(str(tmp_path / "open"))
    assert cache_folder(str(tmp_path / "own")).stat().st_mode & 0o777 == 0o700


def test_where_no_cache_is_named_it_is_the_users_or_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder(None) == tmp_path / "home" / ".cache" / "mosaic-federation" / "git"
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder("/proc/none") == tmp_path / f"mosaic-federation-{os.geteuid()}" / "git"


def test_a_repository_is_read_where_no_temporary_folder_can_be_written(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/proc"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for location in (str(repository.path), repository.url):
        assert len(read_source(SourceSetting(location, "main", "manifests")).files) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with pytest.raises(NeedsEdit, match="no cache folder can be written: /proc/none"):
        cache_folder("/proc/none")


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
