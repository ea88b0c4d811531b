"""The watch of a folder where the kernel gives no watches, and where another one is mounted."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.commands.process import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def namespaces() -> bool:
    """Whether this machine lets us make namespaces, in which limits and mounts are ours."""
    done = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def watcher(source: Path, first: str = "true") -> Iterator[subprocess.Popen[str]]:
    """Watch in namespaces of its own, in which `first` is run before."""
    command = f'{first} && exec "$0" -m tests.support.watching "$1"'
    process = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", command, sys.executable, str(source)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


needs_namespaces = pytest.mark.skipif(not namespaces(), reason="no namespaces may be made here")


@needs_namespaces
@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ("max_inotify_instances", "Too many open files (os error 24)"),
        ("max_inotify_watches", "OS file watch limit reached"),
    ],
)
def test_where_the_kernel_gives_no_watch_changes_are_polled_and_it_is_told(
    tmp_path: Path, limit: str, why: str
) -> None:
    source = tmp_path / "source"
    write(source, a="a")
    with watcher(source, f"echo 0 >/proc/sys/user/{limit}") as process:
        begun = line(process)
        assert begun.startswith("begun: ")
        assert why in begun
        write(source, a="polled")
        assert line(process) == "changed"


@needs_namespaces
def test_what_is_mounted_over_the_folder_is_seen_and_what_changes_there(tmp_path: Path) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    write(source, a="a")
    write(other, a="mounted")
    with watcher(source) as process:
        assert line(process) == "begun: events"
        enter = ["nsenter", "-t", str(process.pid), "-U", "-m", "--preserve-credentials"]
        subprocess.run([*enter, "mount", "--bind", str(other), str(source)], check=True)
        assert line(process) == f"{source}: the folder was replaced; the new one is watched"
        assert line(process) == "changed"
        write(other, a="later")
        assert line(process) == "changed"
