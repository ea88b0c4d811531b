"""`demo` leaves nothing behind, however it ends."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from reconciler.config.home import NAME
from reconciler.embedded.postgres.data_directory import data_directories
from tests.support.commands.process import COMMAND, Command
from tests.support.gateways.gateway import TestGateway, gateway_folder
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[TestGateway]:
    """Give a folder in which demos make theirs."""
    with gateway_folder("demos") as made:
        yield made


def begun(folder: TestGateway) -> subprocess.Popen[bytes]:
    """Start a demo, and wait until both of its gateways run."""
    demo = subprocess.Popen(
        [*COMMAND, "demo"],
        cwd=folder.cwd,
        env=folder.environ({"TMPDIR": str(folder.cwd)}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(step_cas(folder)) == 2, "both gateways run")
    return demo


def step_cas(folder: TestGateway) -> list[int]:
    return [pid for pid, line in folder.processes().items() if "/step-ca " in line]


def nothing_is_left(folder: TestGateway) -> None:
    wait_until(lambda: not folder.processes(), "nothing runs")
    assert list(folder.cwd.iterdir()) == []
    homes = [directory.home.path for directory in data_directories() if directory.home is not None]
    assert not [home for home in homes if home.is_relative_to(folder.cwd)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_interrupted_leaves_nothing(
    folder: TestGateway, number: signal.Signals
) -> None:
    demo = begun(folder)
    demo.send_signal(number)

    assert demo.wait(PATIENCE_S) == 130
    nothing_is_left(folder)


def test_what_a_killed_demo_leaves_is_removed_by_the_next(folder: TestGateway) -> None:
    demo = begun(folder)
    demo.kill()
    demo.wait()
    assert list(folder.cwd.iterdir())

    done = folder("demo", TMPDIR=str(folder.cwd))
    assert done.code == 0, done.err

    nothing_is_left(folder)


def test_a_demo_that_is_kept_is_removed_by_what_it_says(folder: TestGateway) -> None:
    result = folder("demo", "--keep", TMPDIR=str(folder.cwd))
    assert result.code == 0, result.err
    (made,) = folder.cwd.iterdir()
    assert folder("demo", TMPDIR=str(folder.cwd)).code == 0, "another one leaves it alone"
    assert made.exists()

    commands = result.out.partition("to remove them:\n")[2].splitlines()
    for line in commands:
        words = line.split()
        if words[0] == "mosaic":
            Command(folder.cwd).ok(*words[2:], "--yes")
        else:
            subprocess.run(words, check=True)
    assert not list(made.parent.glob(f"*/*/{NAME}"))
    nothing_is_left(folder)
