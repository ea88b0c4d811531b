"""Repositories elsewhere: over TLS with credentials, over SSH, and what is not followed there."""

from __future__ import annotations

import base64
import fcntl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from reconciler.core.model.commits import Relation
from reconciler.core.setting_values import SourceSetting
from reconciler.crypto.ca_material import new_ca
from reconciler.errors import NeedsEdit, Retry
from reconciler.source.read import read_source
from tests.support.gateways.liar import Liar, Response
from tests.support.manifests.text import PEER

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.source import Source
    from tests.support.repositories.repository import Checkout

REFS = "GET /x.git/info/refs?service=git-upload-pack"
ASKS = Response(401, b"", (("www-authenticate", 'Basic realm="git"'),))


def serve(liar: Liar, repository: Checkout) -> None:
    """Serve a repository as files, which is all that git's HTTP protocol needs."""
    bare = repository.path.with_name("bare.git")
    repository.git("clone", "-q", "--bare", ".", str(bare))
    subprocess.run(["git", "update-server-info"], cwd=bare, check=True)
    for path in (each for each in bare.rglob("*") if each.is_file()):
        liar.say(f"GET /x.git/{path.relative_to(bare)}", Response(200, path.read_bytes()))
    liar.say(REFS, Response(200, (bare / "info" / "refs").read_bytes()))


def read(location: str, tmp_path: Path) -> Source:
    return read_source(SourceSetting(location, "main", cache=str(tmp_path / "cache")))


def test_a_repository_is_read_over_https(liar: Liar, repository: Checkout, tmp_path: Path) -> None:
    serve(liar, repository)
    source = read(f"https://127.0.0.1:{liar.port}/x.git", tmp_path)
    assert [file.path for file in source.files] == ["manifests/beta.yaml"]
    assert source.commit is not None
    assert source.commit.id == repository.head


def test_credentials_come_from_netrc(liar: Liar, repository: Checkout, tmp_path: Path) -> None:
    serve(liar, repository)
    (listed,) = liar.answers[REFS]
    liar.say(REFS, ASKS, listed)
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login reader password s3cret\n")
    netrc.chmod(0o600)
    assert len(read(f"https://127.0.0.1:{liar.port}/x.git", tmp_path).files) == 1
    sent = {headers.get("Authorization") for _, headers, _ in liar.heard}
    assert f"Basic {base64.b64encode(b'reader:s3cret').decode()}" in sent


def test_without_credentials_nobody_is_asked(liar: Liar, tmp_path: Path) -> None:
    liar.say(REFS, ASKS)
    with pytest.raises(NeedsEdit, match="could not read Username") as caught:
        read(f"https://127.0.0.1:{liar.port}/x.git", tmp_path)
    assert caught.value.code == "source_refused"


def test_a_redirect_is_not_followed(liar: Liar, repository: Checkout, tmp_path: Path) -> None:
    serve(liar, repository)
    moved = REFS.replace("/x.git", "/moved.git").removeprefix("GET ")
    liar.say(f"GET {moved}", *liar.answers[REFS])
    liar.say(REFS, Response(302, b"", (("location", moved),)))
    with pytest.raises(NeedsEdit, match="returned error: 302"):
        read(f"https://127.0.0.1:{liar.port}/x.git", tmp_path)
    assert liar.calls() == [REFS]


def test_a_server_with_another_root_is_not_talked_to(
    liar: Liar, repository: Checkout, tmp_path: Path
) -> None:
    serve(liar, repository)
    (tmp_path / "root.pem").write_text(new_ca("Other", datetime.now(UTC)).root)
    with pytest.raises(NeedsEdit, match="certificate"):
        read(f"https://127.0.0.1:{liar.port}/x.git", tmp_path)
    assert liar.calls() == []


@pytest.mark.parametrize("location", ["ssh://git@git.example{path}", "git@git.example:{path}"])
def test_a_repository_is_read_over_the_operators_ssh(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    calls = tmp_path / "calls"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    source = read(location.format(path=repository.path), tmp_path)
    assert [file.path for file in source.files] == ["manifests/beta.yaml"]
    assert "git@git.example git-upload-pack" in calls.read_text()


@pytest.mark.parametrize("wrong", ["corrupt", "dotdot"])
def test_what_is_fetched_is_checked(repository: Checkout, tmp_path: Path, wrong: str) -> None:
    blob = repository.object("blob", PEER.encode())
    tree = repository.tree(("40000", b"..", repository.tree(("100644", b"a.yaml", blob))))
    if wrong == "corrupt":
        commit = repository.object("commit", b"tree %b\nauthor nobody\n\nx\n" % tree.encode())
        (repository.path / ".git" / "refs" / "heads" / "main").write_text(f"{commit}\n")
    else:
        repository.commit_tree(tree, "main")
    with pytest.raises(NeedsEdit, match="cannot be fetched") as caught:
        read(repository.url, tmp_path)
    assert "nothing was changed" in caught.value.hint


def test_readers_of_one_mirror_take_turns(repository: Checkout, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        items = list(pool.map(lambda _: read(repository.url, tmp_path).commit, range(12)))
    assert {each.id for each in items if each} == {repository.head}
    assert None not in items


def test_what_a_killed_fetch_leaves_is_in_nobodys_way(repository: Checkout, tmp_path: Path) -> None:
    read(repository.url, tmp_path)
    (mirror,) = (tmp_path / "cache" / "git").glob("*.git")
    (ref,) = (mirror / "refs" / "mosaic").iterdir()
    left = (ref.with_suffix(".lock"), mirror / "objects" / "pack" / "tmp_pack_x")
    for path in (*left, mirror / "packed-refs.lock"):
        path.touch()
    mirror.with_suffix(".new").mkdir()
    tip = repository.commit("later")
    commit = read(repository.url, tmp_path).commit
    assert commit is not None
    assert commit.id == tip
    assert not any(path.exists() for path in left)


def test_packs_of_a_mirror_become_one_and_keep_the_applied_commit(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.source.git.remote.MANY_PACKS", 3)
    read(repository.url, tmp_path)
    applied = repository.head
    for number in range(4):
        repository.write(beta=f"{PEER}# {number}\n")
        repository.commit("forced", "--amend")
        read(repository.url, tmp_path)
    (mirror,) = (tmp_path / "cache" / "git").glob("*.git")
    assert len(list(mirror.glob("objects/pack/*.pack"))) <= 3
    setting = SourceSetting(repository.url, "main", cache=str(tmp_path / "cache"))
    history = read_source(setting, applied).history
    assert history is not None
    assert history.relation is Relation.REWIND


def test_a_mirror_that_another_process_fills_is_waited_for(
    repository: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.source.git.remote.LOCK_WAIT_S", 0.2)
    read(repository.url, tmp_path)
    (lock,) = (tmp_path / "cache" / "git").glob("*.lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Retry, match="another process has been fetching"):
            read(repository.url, tmp_path)
    read(repository.url, tmp_path)
