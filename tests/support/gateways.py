"""Whole gateways for tests: real homes, driven by the real command, each on its own PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND: Final = (sys.executable, "-m", "reconciler.cli.main", "federation")
READY_S: Final = 60


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return standard output as JSON."""
        return json.loads(self.out)


@dataclass
class Up:
    """A running `up`: its process and the lines that it has written."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def stop(self, number: signal.Signals = signal.SIGTERM, wait_s: float = 15) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(wait_s)


@dataclass(frozen=True)
class TestGateway:
    """One gateway: a folder with `.mosaic/` and `manifests/` in it."""

    __test__ = False

    folder: Path
    extra_env: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / ".mosaic"

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    def env(self) -> dict[str, str]:
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith("MOSAIC_")
        }
        return {**clean, **self.extra_env}

    def run(self, *argv: str, stdin: str = "", timeout_s: float = 60) -> Result:
        """Run `mosaic federation …` in the folder, without a terminal."""
        done = subprocess.run(
            [*COMMAND, *argv],
            cwd=self.folder,
            env=self.env(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *argv: str, stdin: str = "") -> Result:
        """Run a command that must succeed."""
        result = self.run(*argv, stdin=stdin)
        assert result.code == 0, f"{argv}\n{result.out}\n{result.err}"
        return result

    def json(self, *argv: str) -> Any:
        """Run a command that must succeed and return its JSON."""
        return self.ok(*argv, "--output", "json").json()

    @contextmanager
    def up(self) -> Iterator[Up]:
        """Run `up` until the block ends; it is ready when the block begins."""
        started = self.start_up()
        try:
            yield started
        finally:
            code = started.stop()
            assert code in (0, -signal.SIGKILL), "\n".join(started.lines)

    def start_up(self) -> Up:
        """Start `up` and wait until it says that it is ready."""
        process = subprocess.Popen(
            [*COMMAND, "up"],
            cwd=self.folder,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started = Up(process)
        ready = threading.Event()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                started.lines.append(line.rstrip())
                if "ready" in line:
                    ready.set()
            ready.set()

        threading.Thread(target=read, daemon=True).start()
        assert ready.wait(READY_S), "\n".join(started.lines)
        assert process.poll() is None, "\n".join(started.lines)
        return started
