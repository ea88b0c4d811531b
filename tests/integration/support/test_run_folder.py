"""The check that a run of the tests leaves nothing behind: it sees what is left, and removes it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from reconciler.embedded import processes
from reconciler.embedded.postgres.programs import OUTSIDE
from tests.support.commands.process import Ended
from tests.support.gateways.home import as_root
from tests.support.project.checkout import ROOT

LEAVE_A_FILE: Final = """
import tempfile
open(tempfile.mkdtemp(prefix="left-") + "/file", "w").close()
"""
LEAVE_A_PROCESS: Final = """
import os, subprocess, tempfile
child = subprocess.Popen(["sleep", "61"], start_new_session=True, cwd="/")
child.returncode = 0  # nobody waits for it
open(os.environ["SAY"], "w").write(str(child.pid))
"""
LEAVE_A_DATABASE: Final = """
import os, tempfile
from pathlib import Path
from reconciler.embedded import processes
from reconciler.embedded.postgres.programs import outside
place = outside() / os.urandom(8).hex()
place.mkdir()
(place / "home").write_text(tempfile.gettempdir() + "/gone/.mosaic\\n")
open(os.environ["SAY"], "w").write(str(place))
"""
BE_KILLED: Final = """
os.kill(os.getpid(), 9)
"""


@dataclass(frozen=True)
class Inner:
    """Runs of tests within this one."""

    folder: Path

    def run(self, body: str) -> Ended:
        """Run one test that does this."""
        test = self.folder / "test_inner.py"
        test.write_text(f"def test_it():\n{textwrap.indent(body, '    ')}\n    assert True\n")
        options = ("-c", os.devnull, "--rootdir", str(self.folder), "-p", "no:cacheprovider")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tests.support.run_folder", *options, str(test)],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(self.temporary),
                "SAY": str(self.report),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def leftover(self) -> str:
        return self.report.read_text()


@pytest.fixture
def inner(tmp_path: Path) -> Inner:
    (tmp_path / "tmp").mkdir()
    return Inner(tmp_path)


def nothing_is_left(inner: Inner) -> None:
    assert list(inner.temporary.iterdir()) == []


def is_there(leftover: str) -> bool:
    """Tell whether a folder exists, or the process of a pid."""
    return (
        Path(leftover).exists()
        if "/" in leftover
        else processes.identify(int(leftover)) is not None
    )


def test_a_run_that_leaves_nothing_passes(inner: Inner) -> None:
    done = inner.run("pass")

    assert done.code == 0, done.out
    nothing_is_left(inner)


def test_a_file_that_is_left_fails_the_run(inner: Inner) -> None:
    done = inner.run(LEAVE_A_FILE)

    assert done.code == 1
    assert "1 passed" in done.out
    assert "/left-" in done.out.partition("left behind by this run")[2]
    nothing_is_left(inner)


def test_a_process_that_is_left_fails_the_run_and_is_ended(inner: Inner) -> None:
    done = inner.run(LEAVE_A_PROCESS)

    assert done.code == 1
    assert f"process {inner.leftover}: sleep 61" in done.out
    assert processes.identify(int(inner.leftover)) is None
    nothing_is_left(inner)


@as_root
def test_a_database_that_is_left_fails_the_run_and_is_removed(inner: Inner) -> None:
    done = inner.run(LEAVE_A_DATABASE)

    assert done.code == 1
    assert inner.leftover.startswith(str(OUTSIDE))
    assert inner.leftover in done.out.partition("left behind by this run")[2]
    assert not Path(inner.leftover).exists()


@pytest.mark.parametrize("left", [LEAVE_A_PROCESS, pytest.param(LEAVE_A_DATABASE, marks=as_root)])
def test_what_a_killed_run_leaves_is_removed_by_the_next(inner: Inner, left: str) -> None:
    assert inner.run(LEAVE_A_FILE + left + BE_KILLED).code == -9
    assert list(inner.temporary.iterdir())
    assert is_there(inner.leftover)

    assert inner.run("pass").code == 0

    assert not is_there(inner.leftover)
    nothing_is_left(inner)
