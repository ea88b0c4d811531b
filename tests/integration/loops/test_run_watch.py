"""What `run` says it watches, and that it applies what comes by a link that is repointed."""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.process import COMMAND, write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.repositories.repository import Checkout
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.commands.in_process import Quick


@contextmanager
def running(mosaic: Quick, *words: str, **variables: str) -> Iterator[list[str]]:
    """Run the loop; give the lines that it logs, as they come."""
    process = subprocess.Popen(
        [*COMMAND, "run", *words],
        cwd=mosaic.cwd,
        env=mosaic.environ(variables),
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        lines.extend(line.rstrip() for line in process.stderr)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()


def test_a_configmap_that_is_swapped_is_applied_and_the_next_one_too(
    mosaic: Quick, tmp_path: Path
) -> None:
    source = tmp_path / "manifests"
    write(source / "..one", beta=peer_manifest())
    (source / "..data").symlink_to("..one")
    source = source / "..data"
    with running(mosaic, "--poll", "1h", MOSAIC_SOURCE=str(source)) as lines:
        wait_until(lambda: mosaic.statuses("peer"), "the peer")
        (begun,) = (line for line in lines if " source " in line)
        assert f"source {source}: watched by file system events, compared every 2s" in begun
        for number, name in enumerate(("a", "b")):
            fresh = source.with_name(f"..{number}")
            write(fresh, beta=peer_manifest(), **{name: grant_manifest(name)})
            (source.with_name("..tmp")).symlink_to(fresh.name)
            source.with_name("..tmp").rename(source)
            applied = partial(lambda name: name in mosaic.statuses(), name)
            wait_until(applied, f"the grant {name}")
    assert sum("the folder was replaced" in line for line in lines) == 2


@pytest.mark.parametrize("ref", [{}, {"MOSAIC_REF": "HEAD"}], ids=["files", "commits"])
def test_what_git_sync_publishes_is_applied_three_times(
    mosaic: Quick, tmp_path: Path, ref: dict[str, str]
) -> None:
    """A worktree for each commit, a link that is renamed into place, and the one before removed."""
    root = Checkout.make(tmp_path / "git", beta=peer_manifest())
    (root.path / ".git/info/exclude").write_text("/current\n/.worktrees\n")
    link = root.path / "current"

    def publish(**manifests: str) -> None:
        root.write(**manifests)
        before, commit = link.readlink() if manifests else None, root.commit("next")
        root.git("worktree", "add", "--quiet", "--detach", f".worktrees/{commit}", commit)
        (root.path / "fresh").symlink_to(f".worktrees/{commit}")
        (root.path / "fresh").rename(link)
        if before is not None:
            root.git("worktree", "remove", "--force", str(before))

    publish()
    source = {"MOSAIC_SOURCE": str(link / "manifests"), **ref}
    with running(mosaic, "--poll", "1s" if ref else "1h", **source) as lines:
        wait_until(lambda: mosaic.statuses("peer"), "the peer")
        for name in ("a", "b", "c"):
            publish(**{name: grant_manifest(name)})
            wait_until(partial(lambda name: name in mosaic.statuses(), name), f"the grant {name}")
    assert not any(" error" in line.lower() or "refused" in line for line in lines), lines
    revision = mosaic.rows.one("SELECT revision FROM federation_grants WHERE name = 'c'")
    assert revision == root.head


def test_a_repository_is_told_as_polled_and_where_pushes_are_listened_for(
    mosaic: Quick, tmp_path: Path
) -> None:
    checkout = Checkout.make(tmp_path / "repository", beta=peer_manifest())
    source = {"MOSAIC_SOURCE": checkout.url, "MOSAIC_REF": "main", "MOSAIC_PATH": "manifests"}
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with running(mosaic, "--poll", "5m", **source, **cache) as lines:
        wait_until(lambda: any(" source " in line for line in lines), "the first line")
    assert any(f"source {checkout.url}@main: polled every 5m" in line for line in lines)
