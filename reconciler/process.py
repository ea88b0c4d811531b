"""Programs that run to their end, with bounds on time, output and files; none outlives us.

Children that stay, such as PostgreSQL and step-ca, are of `embedded/processes.py`.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MAX_ERRORS: Final = 16 * 1024  # octets of standard error that are kept: the last ones
_CHUNK: Final = 64 * 1024

_running: Final[set[subprocess.Popen[bytes]]] = set()
_lock: Final = threading.Lock()


class BoundExceeded(Exception):
    """The process used more than its bounds allow; it was killed."""


class OutputTooLarge(BoundExceeded):
    """It wrote more to standard output."""


class ProcessTimeout(BoundExceeded):
    """It ran longer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a process may use: seconds from start to end, octets of output and of each file.

    Without a bound of files it has ours: the command is the operator's, and so are its files.
    """

    seconds: float
    output: int
    file: int | None = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """The exit code of a process (negative: the signal that ended it), and what it wrote."""

    code: int
    output: bytes
    errors: bytes


def run_process(
    words: Sequence[str | Path],
    *,
    bounds: Bounds,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    content: bytes | None = None,
    terminal: bool = False,
) -> ProcessResult:
    """Run `words` in a session of its own, and kill all of that session at its bounds.

    The folder and the environment are ours where none is given. With `terminal` it stays in our
    session, so that it can ask on the terminal, and it alone is killed.

    Raises:
        BoundExceeded: ProcessTimeout or OutputTooLarge.
        OSError: it could not be started.
    """
    with ExitStack() as stack:
        stdin = stack.enter_context(_file_of(content)) if content else subprocess.DEVNULL
        with _lock:  # Popen and add are one step: `end_running` must not run between them
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=env,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=not terminal,
            )
            _running.add(process)
        stack.enter_context(process)
        stack.callback(_unlist, process)
        if bounds.file is not None:
            with suppress(ProcessLookupError):  # what it starts inherits it
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (bounds.file, bounds.file))
        return _collect(process, bounds)


def _file_of(content: bytes) -> BinaryIO:
    """Return a file in memory, which needs no folder that can be written to."""
    file = os.fdopen(os.memfd_create("stdin"), "w+b")
    file.write(content)
    file.seek(0)
    return file


def end_running() -> None:
    """Kill every process that runs: a loop that stops does not wait for a fetch."""
    with _lock:
        for process in _running:
            _kill(process)


def _unlist(process: subprocess.Popen[bytes]) -> None:
    with _lock:
        _running.discard(process)
        _kill(process)


def _collect(process: subprocess.Popen[bytes], bounds: Bounds) -> ProcessResult:
    deadline = time.monotonic() + bounds.seconds
    output, errors = bytearray(), bytearray()
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, errors)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise ProcessTimeout
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, _CHUNK)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            del errors[:-MAX_ERRORS]
            if len(output) > bounds.output:
                raise OutputTooLarge
    try:
        code = process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise ProcessTimeout from None
    return ProcessResult(code, bytes(output), bytes(errors))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End whatever of the process's session is left; its leader is not reaped before."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
