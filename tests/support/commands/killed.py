"""A command that is killed at a chosen step: before a write in a folder, or at the commit."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.process import Command

# Steps are counted from the first file that is made below the folder: each file or folder that
# is made, linked, renamed or removed there, and each commit, before and after it. Without a folder
# they are the commits alone.
_RUNNER: Final = """
import os, signal, sys
import psycopg
from reconciler.cli.main import run

folder, step = sys.argv[1], int(sys.argv[2])
steps = 0

def reach(begins):
    global steps
    if steps or begins:
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

def watch(event, arguments):
    made = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
    if made or event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.symlink"):
        path = arguments[event == "os.symlink"]
        if isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(folder):
            reach(begins=True)

commit = psycopg.Connection.commit

def commit_in_steps(connection):
    reach(begins=not folder)
    commit(connection)
    reach(begins=False)

psycopg.Connection.commit = commit_in_steps
if folder:
    sys.addaudithook(watch)
sys.exit(run(["federation", *sys.argv[3:]]))
"""


def run_and_kill(shell: Command, folder: Path | None, step: int, *arguments: str) -> bool:
    """Run a command that kills itself at its `step`th step; return whether it came so far."""
    watched = str(folder.resolve()) if folder is not None else ""
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER, watched, str(step), *arguments],
        cwd=shell.cwd,
        env=shell.environ({}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0
