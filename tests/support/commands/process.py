"""The command line as a shell runs it: a process, its two outputs and its exit code."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.support.commands.fork_server import fork_server
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

COMMAND: Final = (sys.executable, "-m", "reconciler.cli.main", "federation")


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error object, which is the last line of standard error."""
        document = json.loads(self.err.splitlines()[-1])
        assert list(document) == ["error"]
        error = document["error"]
        assert list(error) == ["code", "message", "hint", "exitCode"]
        assert error["exitCode"] == self.code
        return error


@dataclass(frozen=True)
class Command:
    """A shell in a folder, with what it has of `MOSAIC_*` variables and no others."""

    cwd: Path
    variables: dict[str, str] = field(default_factory=dict, repr=False)

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """Run to the end, with no terminal anywhere."""
        environ, content = self.environ(variables), stdin.encode()
        words = ("federation", *arguments)
        if fork_server.accepts(words, environ, content):
            code, out, err = fork_server.run(words, self.cwd, environ, content)
            return Ended(code, _text(out), _text(err))
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.cwd,
            env=environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, **variables: str) -> Ended:
        """Run what must succeed."""
        done = self(*arguments, **variables)
        assert done.code == 0, done.err
        return done

    def document(self, *arguments: str) -> Any:
        """Run what must succeed, and return what it prints as JSON."""
        return self.ok(*arguments, "--output", "json").document

    def at_terminal(
        self, *arguments: str, typed: str = "", until: bytes = b"[y/N]", **variables: str
    ) -> Ended:
        """Run on a terminal where a person types once `until` is shown; `out` is all that is shown.

        Ctrl-C (`\\x03`) becomes its signal here: the terminal is not the process's own.
        """
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.cwd,
            env=self.environ({"TERM": "xterm", "COLUMNS": "80", **variables}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            shown = _read(ours, until if typed else None)
            if typed == "\x03":
                process.send_signal(signal.SIGINT)
            elif typed:
                os.write(ours, typed.encode())
            shown += _read(ours)
            code = process.wait(PATIENCE_S)
        os.close(ours)
        return Ended(code, shown.replace("\r\n", "\n"), "")

    def environ(self, variables: dict[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command, with `variables` on top."""
        values = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MOSAIC_") and name not in ("NO_COLOR", "COLUMNS")
        }
        return values | self.variables | (variables or {})


def _text(octets: bytes) -> str:
    return octets.decode().replace("\r\n", "\n")  # as `subprocess` reads text


def _read(terminal: int, until: bytes | None = None) -> str:
    """Return what the terminal shows, until it shows that or nobody holds it any more."""
    shown = b""
    while until is None or until not in shown:
        readable, _, _ = select.select([terminal], [], [], PATIENCE_S)
        assert readable, f"silent after {shown!r}"
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # EIO: the other side is closed
            break
        shown += chunk
    return shown.decode()


def write(folder: Path, **manifests: str) -> None:
    """Write manifests into a folder, each named by its keyword and `.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in manifests.items():
        (folder / f"{name}.yaml").write_text(text)
