"""A build of step-ca that is ended: nothing of it runs on, and nothing of it is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.project.checkout import ROOT
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Go, as far as it matters here: it starts a compiler elsewhere, and both go on
SLOW: Final = """#!{interpreter}
PATH=/usr/bin:/bin
case "$1" in env) echo go1.26.8; exit;; esac
mkdir -p "$GOCACHE" "$GOMODCACHE"
(cd / && exec sleep 300) &
echo "$$ $!" >{marker}.new && mv {marker}.new {marker}
wait
"""
QUICK: Final = """#!/bin/sh
PATH=/usr/bin:/bin
case "$1" in env) echo go1.26.8; exit;; esac
mkdir -p "$GOBIN"
printf '#!/bin/sh\\necho Smallstep CA/0.30.2\\n' >"$GOBIN/step-ca" && chmod +x "$GOBIN/step-ca"
"""
SET_UP: Final = """
import sys
from pathlib import Path
from reconciler.embedded.stepca import install
from tools.step_ca import main
install.SYSTEM = Path("/nonexistent")
sys.exit(main())
"""


class Machine:
    """A PATH with nothing but a Go, and a user's home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.cache = self.home / ".cache" / "mosaic-federation" / "step-ca-0.30.2"
        self.marker = folder / "started"
        self._go = folder / "bin" / "go"
        self._interpreter = folder / "interpreter" / "go"  # a process is known by its program
        for each in (self.home, self._go.parent, self._interpreter.parent):
            each.mkdir()
        shutil.copy("/bin/sh", self._interpreter)

    def has_go(self, script: str) -> None:
        self._go.write_text(script.format(interpreter=self._interpreter, marker=self.marker))
        self._go.chmod(0o755)

    def begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SET_UP],
            cwd=ROOT,
            env={"HOME": str(self.home), "PATH": str(self._go.parent)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def building(self) -> tuple[subprocess.Popen[str], list[int]]:
        """Begin a build; return it, and the processes that it has started."""
        self.has_go(SLOW)
        process = self.begin()
        wait_until(self.marker.exists, "Go has started its compiler")
        return process, [int(pid) for pid in self.marker.read_text().split()]

    def left(self) -> list[str]:
        """Return what is in the user's home, but the folders that lead to step-ca."""
        files = (
            path for path in self.home.rglob("*") if not path.is_dir() or "build-" in str(path)
        )
        return sorted(path.name for path in files)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    if made.marker.exists():
        for pid in made.marker.read_text().split():
            assert not runs(int(pid)), "a process of the build was left"


def runs(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return status[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_build_that_is_told_to_end_leaves_nothing(
    machine: Machine, number: signal.Signals
) -> None:
    process, started = machine.building()

    process.send_signal(number)

    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    assert "Traceback" not in printed
    wait_until(lambda: not any(map(runs, started)), "Go and its compiler have ended")
    assert machine.left() == []


def test_what_a_killed_build_left_ends_and_goes_with_the_next_one(machine: Machine) -> None:
    process, started = machine.building()
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert all(map(runs, started))
    assert machine.left()

    machine.has_go(QUICK)
    again = machine.begin()
    printed, _ = again.communicate(timeout=PATIENCE_S)

    assert again.returncode == 0, printed
    wait_until(lambda: not any(map(runs, started)), "Go and its compiler have ended")
    assert machine.left() == ["step-ca"]
    assert os.access(machine.cache / "step-ca", os.X_OK)


def test_a_second_build_waits_for_the_first_and_takes_what_it_made(machine: Machine) -> None:
    machine.has_go(QUICK.replace("mkdir", f"echo one >>{machine.marker}.builds; sleep 1; mkdir"))
    both = [machine.begin(), machine.begin()]

    for process in both:
        printed, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, printed

    assert Path(f"{machine.marker}.builds").read_text() == "one\n"
    assert machine.left() == ["step-ca"]
