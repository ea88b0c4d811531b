"""Programs that run to their end: within bounds, in a session of their own or on the terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from reconciler.hook import run_hook
from reconciler.process import Bounds, OutputTooLarge, ProcessTimeout, run_process

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS = Bounds(seconds=120, output=1000)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_program_is_killed_at_each_bound(terminal: bool) -> None:
    with pytest.raises(ProcessTimeout):
        run_process(["sleep", "600"], bounds=Bounds(seconds=0.1, output=1), terminal=terminal)
    with pytest.raises(OutputTooLarge):
        run_process(["yes"], bounds=BOUNDS, terminal=terminal)


@pytest.mark.parametrize("terminal", [False, True])
def test_only_a_program_of_the_terminal_stays_in_our_session(terminal: bool) -> None:
    words = ["python3", "-c", "import os; print(os.getsid(0))"]
    result = run_process(words, bounds=BOUNDS, terminal=terminal)
    assert (int(result.output) == os.getsid(0)) is terminal


def test_input_output_errors_and_exit_code_are_its_own() -> None:
    result = run_process(["sh", "-c", "cat; echo no >&2; exit 3"], bounds=BOUNDS, content=b"yes")
    assert (result.code, result.output, result.errors) == (3, b"yes", b"no\n")


def test_a_hook_is_killed_at_the_bound_that_it_is_given() -> None:
    """A gateway that stops gives its last checkpoint less time than the others."""
    failure = run_hook(("sleep", "600"), {}, bounds=Bounds(seconds=0.1, output=1))
    assert failure == "sleep ran longer than 0.1 s, and was killed"


def test_a_hook_may_write_to_a_large_file(tmp_path: Path) -> None:
    """It appends to a log of the operator's, which may be of any size."""
    log = tmp_path / "log"
    log.touch()
    os.truncate(log, 70 * 1024 * 1024)  # takes no room
    assert run_hook(("sh", "-c", f"echo done >> {log}"), {}) is None
