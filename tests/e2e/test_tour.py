"""The README's tour, typed as it stands there: each block ends well and prints what is shown."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.gateways.gateway import TestGateway, Up, gateway_folder
from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

README: Final = ROOT / "README.md"
BACKGROUND: Final = "# in a second terminal\n"

_TOUR: Final = re.compile(r"^## A five-minute tour\n(.*?)^## ", re.MULTILINE | re.DOTALL)
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY: Final = "…"
# what another run prints otherwise: times, how far away they are, ids, ports, who and where
_VARIES: Final = (
    r"\d{4}-\d\d-\d\dT[\d:.]+Z",
    r"in \d+[ydhms]|\d+[ydhms] ago|in \d+ ms",
    r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,}\b",
    r"(?<=127\.0\.0\.1:)\d+|(?<=port )\d+",
    r"(?<=user:)[\w.-]+@[\w.-]+",
    r"\d+(?= records verified)",
)


@dataclass(frozen=True)
class Block:
    """Commands, and what they print."""

    commands: str
    shown: str


def tour() -> list[Block]:
    match = _TOUR.search(README.read_text(encoding="utf-8"))
    assert match is not None
    blocks = [Block(*each) for each in _BLOCK.findall(match[1])]
    assert len(blocks) == match[1].count("```sh\n"), "a block of commands without what it prints"
    return blocks


def same(shown: str, printed: str) -> bool:
    """Tell whether an output is the one that is shown; `…` there stands for anything."""
    pattern = "".join(
        r"(?:.*\n)*" if line == f"{_ANY}\n" else re.escape(line).replace(_ANY, ".*")
        for line in masked(shown).splitlines(keepends=True)
    )
    return re.fullmatch(pattern, masked(printed)) is not None


def masked(text: str) -> str:
    for each in _VARIES:
        text = re.sub(each, "*", text)
    return re.sub(r"(?<=\S) {2,}", "  ", text)  # columns are as wide as what is in them


@dataclass(frozen=True)
class Shell:
    """A home of a person in which the blocks are typed."""

    home: Path

    def run(self, block: Block) -> str:
        """Type a block, all of which must succeed; return what it printed."""
        done = subprocess.run(
            ["bash", "-eu", "-c", block.commands], **self._how(), timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stdout
        return self._neutral(done.stdout)

    def begin(self, block: Block) -> Up:
        """Type a block that goes on until Ctrl-C."""
        started = Up(
            subprocess.Popen(["bash", "-c", block.commands], **self._how(), start_new_session=True)
        )
        started.read()
        return started

    def end(self, started: Up) -> str:
        """Press Ctrl-C: everything in the terminal is told; return what was printed."""
        os.killpg(started.process.pid, signal.SIGINT)
        assert started.process.wait(PATIENCE_S) == 0, started.output
        return self._neutral(f"{started.output}\n")

    def _how(self) -> dict[str, Any]:
        # only the README's home is another one: a step-ca is where it was
        values = {
            name: value
            for name, value in os.environ.items()
            if "MOSAIC_" not in name and name != "COLUMNS"
        }
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {
            "cwd": self.home,
            "env": values | {"HOME": str(self.home), "XDG_CACHE_HOME": cache, "PATH": programs},
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }

    def _neutral(self, printed: str) -> str:
        return printed.replace(str(self.home), "~")


@pytest.fixture
def shell() -> Iterator[Shell]:
    with gateway_folder("alpha") as alpha:
        home = alpha.cwd.parent
        try:
            yield Shell(home)
        finally:
            TestGateway(home / "beta").end()


def test_tour_prints_what_the_readme_shows(shell: Shell) -> None:
    running: list[tuple[Block, Up]] = []
    try:
        for block in tour():
            if block.commands.startswith(BACKGROUND):
                running.append((block, shell.begin(block)))
                running[-1][1].wait_for("ready: ")
                continue
            printed = shell.run(block)
            assert same(block.shown, printed), f"{block.commands}\n{printed}"
    finally:
        ended = [(block, shell.end(started)) for block, started in running]
    for block, printed in ended:
        assert same(block.shown, printed), printed
