"""Why a remote cannot be read: the cause in its own words, and a hint that leads to the mend."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.core.setting_values import SourceSetting
from reconciler.errors import MosaicError, NeedsEdit, Retry
from reconciler.source.read import read_source
from tests.support.gateways.liar import Liar, Response
from tests.support.manifests.text import PEER
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.source import Source
    from tests.support.repositories.repository import Checkout

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


def read(location: str, tmp_path: Path) -> Source:
    return read_source(SourceSetting(location, "main", cache=str(tmp_path / "cache")))


def refused(location: str, tmp_path: Path) -> MosaicError:
    with pytest.raises(MosaicError) as caught:
        read(location, tmp_path)
    lasting = isinstance(caught.value, NeedsEdit)
    assert caught.value.code == ("source_refused" if lasting else "source_unavailable")
    assert caught.value.hint.startswith("nothing was changed; ")
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (301, NeedsEdit, "redirects are not followed: name the URL that it leads to, often {}.git"),
        (401, NeedsEdit, "~/.netrc (mode 0600): machine 127.0.0.1 login USER password TOKEN"),
        (403, NeedsEdit, "may not read this repository"),
        (404, NeedsEdit, "check the URL; hosts say so, too, where the credentials may not see"),
        (429, Retry, "check the URL, the network and the credentials"),
        (500, Retry, "check the URL, the network and the credentials"),
        (503, Retry, "check the URL, the network and the credentials"),
    ],
)
def test_what_a_web_server_answers_is_told_with_what_to_do(
    liar: Liar, tmp_path: Path, status: int, kind: type[MosaicError], hint: str
) -> None:
    url = f"https://127.0.0.1:{liar.port}/group/federation"
    headers = (("www-authenticate", 'Basic realm="git"'),) if status == 401 else ()
    moved = (("location", f"{url}.git/info/refs?service=git-upload-pack"),) if status < 400 else ()
    liar.say(
        "GET /group/federation/info/refs?service=git-upload-pack",
        Response(status, b"", (*headers, *moved)),
    )
    error = refused(url, tmp_path)
    assert type(error) is kind
    assert hint.format(url) in error.hint


def test_a_url_that_ends_in_dot_git_is_not_told_to_end_so(liar: Liar, tmp_path: Path) -> None:
    liar.say(
        "GET /x.git/info/refs?service=git-upload-pack", Response(301, b"", (("location", "/y"),))
    )
    assert ".git" not in refused(f"https://127.0.0.1:{liar.port}/x.git", tmp_path).hint


def test_a_shallow_clone_as_a_remote_is_called_one_and_can_be_completed(
    repository: Checkout, tmp_path: Path
) -> None:
    repository.commit("second")
    shallow = tmp_path / "shallow"
    repository.git("clone", "-q", "--depth=1", repository.url, str(shallow))
    for _ in range(2):
        error = refused(f"file://{shallow}", tmp_path)
        assert isinstance(error, NeedsEdit)
        assert "is a shallow clone: complete it (git fetch --unshallow)" in error.hint
    subprocess.run(["git", "fetch", "-q", "--unshallow"], cwd=shallow, check=True)
    assert read(f"file://{shallow}", tmp_path).files


def test_a_host_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    error = refused(f"https://127.0.0.1:{free_port()}/x.git", tmp_path)
    assert isinstance(error, Retry)
    assert "Failed to connect" in error.message or "Connection refused" in error.message


def test_a_name_that_nobody_knows_is_told(tmp_path: Path) -> None:
    for url in ("https://nobody.invalid/x.git", "ssh://git@nobody.invalid/x.git"):
        error = refused(url, tmp_path)
        assert isinstance(error, Retry)
        assert "resolve host" in error.message
        assert "check the name of the host" in error.hint


def test_an_international_name_is_told_as_xn_and_the_case_of_a_scheme_does_not_matter(
    repository: Checkout, tmp_path: Path
) -> None:
    error = refused("https://m\N{LATIN SMALL LETTER U WITH DIAERESIS}nchen.invalid/x", tmp_path)
    assert isinstance(error, NeedsEdit)
    assert "an international name as xn--" in error.hint
    assert len(read(repository.url.replace("file://", "FILE://"), tmp_path).files) == 1


@pytest.mark.parametrize("verb", ["init", "fetch"])
def test_a_full_disk_below_the_mirrors_is_told_as_one(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    full = "fatal: write error: No space left on device"
    line = f'case " $* " in *" {verb} "*) echo "{full}" >&2; exit 128;; esac'
    git.write_text(f'#!/bin/sh\n{line}\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    error = refused(repository.url, tmp_path)
    assert isinstance(error, Retry)
    assert "No space left on device" in error.message
    assert "free some space" in error.hint


def test_all_that_git_says_is_in_the_debug_log_without_credentials(
    liar: Liar, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="reconciler")
    url = f"https://127.0.0.1:{liar.port}/x?private_token=s3cret"
    error = refused(url, tmp_path)
    assert any(each.startswith("git ls-remote: ") for each in caplog.messages)
    for text in (caplog.text, error.message, error.hint):
        assert "s3cret" not in text


@contextmanager
def ssh_server(folder: Path, *options: str) -> Iterator[int]:
    """Run a real sshd on a free port of 127.0.0.1, with a host key and no user's key."""
    assert SSHD is not None
    folder.mkdir()
    key = folder / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    words = [SSHD, "-D", "-e", "-f", "/dev/null", "-h", str(key), "-p", str(port)]
    settings = ("ListenAddress=127.0.0.1", f"PidFile={folder}/pid", "UsePAM=no", *options)
    words += [word for each in settings for word in ("-o", each)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        try:
            assert b"listening" in server.stderr.readline()
            yield port
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


@pytest.mark.skipif(SSHD is None or os.geteuid() != 0, reason="no sshd that may be started")
@pytest.mark.parametrize("known", ["unknown", "changed", "known"])
def test_every_line_that_ssh_ends_with_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    hosts = tmp_path / "known_hosts"
    with ssh_server(tmp_path / "sshd") as port:
        if known != "unknown":
            other = tmp_path / "other"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
            key = tmp_path / "sshd" / "host" if known == "known" else other
            kind, text, *_ = key.with_suffix(".pub").read_text().split()
            hosts.write_text(f"[127.0.0.1]:{port} {kind} {text}\n")
        monkeypatch.setenv(
            "GIT_SSH_COMMAND",
            f"ssh -F none -o BatchMode=yes -o UserKnownHostsFile={hosts} -o IdentityFile=none",
        )
        error = refused(f"ssh://git@127.0.0.1:{port}/x.git", tmp_path)
    assert isinstance(error, NeedsEdit)
    assert "Could not read from remote repository" in error.message
    if known == "known":
        assert "Permission denied (" in error.message
        assert "GIT_SSH_COMMAND" in error.hint
    else:
        assert "Host key verification failed." in error.message
        assert "ssh-keyscan" in error.hint
        assert "127.0.0.1" in error.hint


OLD = {
    "badTimezone": "author O <o@x.example> 1300000000 +051800",
    "missingSpaceBeforeDate": "author O <o@x.example>1300000000 +0000",
    "missingEmail": "author O 1300000000 +0000",
    "missingSpaceBeforeEmail": "author O<o@x.example> 1300000000 +0000",
    "missingNameBeforeEmail": "author <o@x.example> 1300000000 +0000",
    "zeroPaddedDate": "author O <o@x.example> 0300000000 +0000",
    "badDate": "author O <o@x.example> yesterday +0000",
    "badName": "author O> <o@x.example> 1300000000 +0000",
    "badEmail": "author O <o@x.example 1300000000 +0000",
    "badDateOverflow": "author O <o@x.example> 99999999999999999999 +0000",
}


@pytest.mark.parametrize("fault", OLD)
@pytest.mark.parametrize("tip", [True, False], ids=["tip", "history"])
def test_an_old_malformed_commit_stops_no_remote(
    repository: Checkout, tmp_path: Path, fault: str, tip: bool
) -> None:
    tree = repository.git("rev-parse", "HEAD^{tree}")
    text = f"tree {tree}\n{OLD[fault]}\n{OLD[fault].replace('author', 'committer')}\n\nimported\n"
    made = repository.object("commit", text.encode())
    if not tip:
        made = repository.git("commit-tree", "-p", made, "-m", "later", tree)
    (repository.path / ".git" / "refs" / "heads" / "main").write_text(f"{made}\n")
    for location in (repository.url, str(repository.path)):
        source = read(location, tmp_path)
        assert [file.path for file in source.files] == ["manifests/beta.yaml"]
        assert source.commit is not None
        assert source.commit.id == made


def test_a_tree_whose_modes_are_padded_stops_no_remote(
    repository: Checkout, tmp_path: Path
) -> None:
    blob = repository.object("blob", PEER.encode())
    inner = repository.tree(("100644", b"beta.yaml", blob))
    repository.commit_tree(repository.tree(("040000", b"manifests", inner)), "main")
    source = read(repository.url, tmp_path)
    assert [file.path for file in source.files] == ["manifests/beta.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_url_of_somebody_elses_repository_is_read(
    repository: Checkout, tmp_path: Path
) -> None:
    for path in (repository.path, *repository.path.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    assert len(read(repository.url, tmp_path).files) == 1
