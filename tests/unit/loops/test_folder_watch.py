"""The watch of a folder: whatever happens to it, a change is seen, and the next one too."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.loops import folder_watch as watching
from reconciler.loops.folder_watch import FolderWatch
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEVER: Final = timedelta(days=1)  # so only a change ends the wait


def save(folder: Path, text: str = "a", name: str = "a.yaml") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def swap_link(link: Path, target: str) -> None:
    """Repoint a link as the kubelet and git-sync do: by a rename."""
    fresh = link.with_name(f"{link.name}_tmp")
    fresh.symlink_to(target)
    fresh.replace(link)


def plain(at: Path) -> Path:
    save(at / "source")
    return at / "source"


def beside_latin1(at: Path) -> Path:
    (plain(at) / os.fsdecode(b"M\xfcnchen")).mkdir()
    return at / "source"


def missing(at: Path) -> Path:
    return at / "not" / "yet" / "source"


def replaced(source: Path) -> None:
    shutil.copytree(source, source.with_name("new"))
    save(source.with_name("new"), "replaced")
    source.rename(source.with_name("old"))
    source.with_name("new").rename(source)


def removed_and_made_again(source: Path) -> None:
    shutil.rmtree(source)
    save(source, "made again")


def saved_by_rename(source: Path) -> None:
    save(source, "renamed", ".a.yaml.tmp")
    (source / ".a.yaml.tmp").replace(source / "a.yaml")


def saved_in_a_new_folder(source: Path) -> None:
    save(source / "one" / "two", "deep")


def configmap(at: Path) -> Path:
    """Lay a folder out as the kubelet mounts a ConfigMap, one of its keys in a folder."""
    mount = at / "mount"
    save(mount / "..one")
    save(mount / "..one" / "sub", "b", "b.yaml")
    (mount / "..data").symlink_to("..one")
    (mount / "a.yaml").symlink_to("..data/a.yaml")
    (mount / "sub").symlink_to("..data/sub")
    return mount


def next_configmap(source: Path) -> None:
    old = (source / "..data").readlink()
    fresh = f"{old}x"
    shutil.copytree(source / old, source / fresh)
    save(source / fresh / "sub", fresh, "b.yaml")
    swap_link(source / "..data", fresh)
    shutil.rmtree(source / old)


def git_sync(at: Path) -> Path:
    save(at / "root" / ".worktrees" / "one" / "manifests")
    (at / "root" / "current").symlink_to(".worktrees/one")
    return at / "root" / "current" / "manifests"


def next_git_sync(source: Path) -> None:
    current = source.parent
    fresh = current.parent / f"{current.readlink()}x"
    save(fresh / "manifests", fresh.name)
    swap_link(current, f".worktrees/{fresh.name}")


def parent_renamed(source: Path) -> None:
    source.parent.rename(source.parent.with_name("elsewhere"))
    save(source, "another parent")


def below_a_parent(at: Path) -> Path:
    save(at / "parent" / "source")
    return at / "parent" / "source"


def checked_out(at: Path) -> Path:
    save(at / "source")
    for words in (
        ("init", "--quiet"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "one"),
        ("branch", "other"),
    ):
        subprocess.run(["git", *words], cwd=at / "source", check=True)
    save(at / "source", "two", "b.yaml")
    for words in (
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "two"),
    ):
        subprocess.run(["git", *words], cwd=at / "source", check=True)
    return at / "source"


def other_branch(source: Path) -> None:
    subprocess.run(["git", "checkout", "--quiet", "other"], cwd=source, check=True)


def unreadable_for_a_while(source: Path) -> None:
    source.chmod(0o700)
    source.chmod(0o750)


CASES: Final[dict[str, tuple[Callable[[Path], Path], Callable[[Path], None]]]] = {
    "a file is saved": (plain, save),
    "a file beside a folder whose name is not UTF-8": (beside_latin1, save),
    "an editor renames over it": (plain, saved_by_rename),
    "a file in a new folder of a new folder": (plain, saved_in_a_new_folder),
    "the folder is replaced by mv": (plain, replaced),
    "the folder is removed and made again": (plain, removed_and_made_again),
    "the folder is made after the start": (missing, save),
    "a parent is renamed": (below_a_parent, parent_renamed),
    "git checks another branch out": (checked_out, other_branch),
    "the kubelet swaps ..data": (configmap, next_configmap),
    "git-sync repoints its link": (git_sync, next_git_sync),
    "the mode of the folder changes": (plain, unreadable_for_a_while),
}


def test_every_change_is_seen_and_the_one_after_it_too(tmp_path: Path) -> None:
    async def unseen(number: int, make: Callable[[Path], Path], do: Callable[[Path], None]) -> str:
        source = make(tmp_path / str(number))
        watch, stop = FolderWatch(source), asyncio.Event()
        await watch.begin()
        try:
            for what, change in (("it", do), ("the next", lambda at: save(at, "later", "c.yaml"))):
                change(source)
                waiting = asyncio.create_task(watch.changed(stop, NEVER))
                done, _ = await asyncio.wait({waiting}, timeout=PATIENCE_S)
                stop.set() if not done else None
                await waiting
                if not done:
                    return what
        finally:
            watch.end()
        return ""

    async def run() -> list[str]:
        cases = enumerate(CASES.values())
        return await asyncio.gather(*(unseen(number, *case) for number, case in cases))

    completed = asyncio.run(run())
    assert dict(zip(CASES, completed, strict=True)) == dict.fromkeys(CASES, "")


@pytest.mark.parametrize(
    ("make", "change", "text"),
    [
        (plain, save, None),
        (plain, replaced, "the folder was replaced; the new one is watched"),
        (git_sync, next_git_sync, "the folder was replaced; the new one is watched"),
        (configmap, next_configmap, "folders were added; they are watched too"),
    ],
)
def test_what_is_watched_anew_is_told(
    tmp_path: Path,
    make: Callable[[Path], Path],
    change: Callable[[Path], None],
    text: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = make(tmp_path)

    async def run() -> None:
        watch, stop = FolderWatch(source), asyncio.Event()
        await watch.begin()
        change(source)
        await asyncio.wait_for(watch.changed(stop, NEVER), PATIENCE_S)
        watch.end()

    with caplog.at_level(logging.INFO, "reconciler.loops.folder_watch"):
        asyncio.run(run())
    assert caplog.messages == ([f"{source}: {text}"] if text else [])


def test_a_folder_that_takes_long_to_look_at_is_looked_at_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = FolderWatch(plain(tmp_path))
    assert watch.interval == watching.LOOK_EVERY
    watch._look_s = 0.1
    assert watch.interval == timedelta(seconds=5), "2% of a core"
    watch._look_s = 60
    assert watch.interval == watching.LONGEST_LOOK_EVERY


def test_changes_without_events_are_noticed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a file that is mounted by itself: the folder's watch never hears of it."""
    source, elsewhere = plain(tmp_path), tmp_path / "elsewhere"
    save(elsewhere)

    def deaf(self: FolderWatch, folders: list[str]) -> None:
        real(self, [str(elsewhere)] if folders else [])

    real = FolderWatch._open_events
    monkeypatch.setattr(FolderWatch, "_open_events", deaf)

    async def run() -> None:
        watch, stop = FolderWatch(source), asyncio.Event()
        await watch.begin()
        for text in ("one", "two"):
            save(source, text)
            await asyncio.wait_for(watch.changed(stop, NEVER), PATIENCE_S)
        assert watch.polled == "it has changed without an event"
        watch.end()

    with caplog.at_level(logging.INFO, "reconciler.loops.folder_watch"):
        asyncio.run(run())
    assert caplog.messages == [
        f"{source}: compared every 2s, without events: it has changed without an event"
    ]
