"""The question before a change that cannot be undone, as a person at a terminal answers it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

PRESSES: Final = 1000  # `input` alone loses one in a hundred

# asks for ever, and prints how each question ended
PROGRAM: Final = """
import click
from reconciler.cli.terminal.confirmation import confirm
from reconciler.errors import Refused
while True:
    try:
        confirm("Sure?", yes=False)
        print("agreed")
    except Refused:
        print("declined")
    except click.Abort:
        print("closed")
    except KeyboardInterrupt:
        print("interrupted")
"""


@dataclass(frozen=True)
class Prompt:
    """A process that asks, and the terminal at which a person answers."""

    terminal: int
    process: subprocess.Popen[bytes]

    def read(self) -> str:
        """Return what the terminal shows until the next question."""
        shown = b""
        while not shown.endswith(b"[y/N]: "):
            assert select.select([self.terminal], [], [], PATIENCE_S)[0], shown
            shown += os.read(self.terminal, 65536)
        return shown.decode().replace("\r\n", "\n")

    def answer(self, typed: str) -> str:
        """Type an answer; return the last line that is shown before the next question."""
        os.write(self.terminal, typed.encode())
        return self.read().splitlines()[-2]


@pytest.fixture(scope="module")
def prompt() -> Iterator[Prompt]:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        prompt = Prompt(ours, process)
        try:
            prompt.read()
            yield prompt
        finally:
            process.kill()
    os.close(ours)


def test_no_interrupt_is_lost_however_soon_after_the_question_it_comes(prompt: Prompt) -> None:
    for _ in range(PRESSES):
        prompt.process.send_signal(signal.SIGINT)
        assert prompt.read() == "interrupted\nSure? [y/N]: "


@pytest.mark.parametrize(
    ("typed", "outcome"),
    [
        ("y\n", "agreed"),
        ("YES\n", "agreed"),
        (" y \n", "agreed"),
        ("n\n", "declined"),
        ("No\n", "declined"),
        ("\n", "declined"),
        ("\x04", "closed"),
        ("y\x04", "yagreed"),  # Ctrl-D ends what is typed, and shows no new line
    ],
)
def test_an_answer_is_yes_or_no_and_enter_is_no(prompt: Prompt, typed: str, outcome: str) -> None:
    assert prompt.answer(typed) == outcome


@pytest.mark.parametrize("typed", ["yep\n", "ny\n", "0\n", "\xff\n", "y" * 4000 + "\n"])
def test_any_other_answer_is_asked_again(prompt: Prompt, typed: str) -> None:
    assert prompt.answer(typed) == "Error: answer yes or no"
    assert prompt.answer("y\n") == "agreed"


def test_each_line_of_what_is_typed_ahead_answers_one_question(prompt: Prompt) -> None:
    os.write(prompt.terminal, b"y\nn\ny\n")
    shown = ""
    while shown.count("[y/N]") < 3:
        shown += prompt.read()
    assert [each for each in shown.split() if each in ("agreed", "declined")] == [
        "agreed",
        "declined",
        "agreed",
    ]
