"""Processes of the command that share their imports: forked from one that has loaded all modules.

A command spends most of its time on the import of its modules. Each forked process is a process of
its own all the same: its descriptors, folder, environment, signals and end are those that a shell
would give it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import reconciler
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).parents[3]
LARGEST_INPUT: Final = 32 * 1024  # octets that a pipe holds without a reader
LARGEST_WORDS: Final = 16 * 1024  # characters, each of which may be six octets of JSON
LARGEST_REQUEST: Final = 128 * 1024
# of the environment, what the interpreter and its libraries have read by the time of the fork
AT_START: Final = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "FAKETIME", "PSYCOPG", "SSL_", "OPENSSL_")


@dataclass
class ForkServer:
    """The process that has loaded all modules, started with the first command."""

    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    environ: dict[str, str] = field(default_factory=dict, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accepts(self, arguments: Sequence[str], environ: Mapping[str, str], content: bytes) -> bool:
        """Tell whether a forked process would be the same as a new one."""
        return (
            _at_start(environ) == _at_start(self.environ or os.environ)
            and len(content) <= LARGEST_INPUT
            and sum(map(len, (*arguments, *environ, *environ.values()))) <= LARGEST_WORDS
        )

    def run(
        self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], content: bytes
    ) -> tuple[int, bytes, bytes]:
        """Run a command to its end; return its exit code and what it wrote."""
        pipes = [os.pipe() for _ in range(4)]  # its three streams, and its exit code
        (reader, _), *ours = pipes
        theirs = [reader, *(writer for _, writer in ours)]
        os.write(pipes[0][1], content)
        os.close(pipes[0][1])
        try:
            with self.lock:  # tests run commands side by side
                request = _request(arguments, cwd, environ)
                socket.send_fds(self._started(), [request], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        out, err, code = _contents([each for each, _ in ours], arguments)
        return int(code), out, err

    def stop(self) -> None:
        """Stop it, if it was started."""
        if self.process is not None and self.control is not None:
            self.control.close()
            self.process.wait(PATIENCE_S)
            self.process = self.control = None

    def _started(self) -> socket.socket:
        if self.control is None:
            self.environ = dict(os.environ)
            self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    cwd=ROOT,
                    pass_fds=[theirs.fileno()],
                )
        return self.control


fork_server: Final = ForkServer()


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environ.items() if name.startswith(AT_START)}


def _request(arguments: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> bytes:
    mask = os.umask(0o077)
    os.umask(mask)
    return json.dumps([list(arguments), str(cwd), dict(environ), mask]).encode()


def _contents(descriptors: list[int], arguments: Sequence[str]) -> list[bytes]:
    """Read pipes until nobody holds their other ends."""
    contents = dict.fromkeys(descriptors, b"")
    readers = list(descriptors)
    while readers:
        readable, _, _ = select.select(readers, [], [], PATIENCE_S)
        assert readable, f"{arguments} neither writes nor ends: {contents}"
        for reader in readable:
            chunk = os.read(reader, 65536)
            contents[reader] += chunk
            if not chunk:
                readers.remove(reader)
                os.close(reader)
    return list(contents.values())


def _load_all() -> None:
    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        importlib.import_module(module.name)
    for name in ("alembic.command", "sqlalchemy.dialects.postgresql.psycopg"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a forked process must not touch what is shared


def _next_command(control: socket.socket) -> list[str] | None:
    """Return the arguments in the process of each next command, and None at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for a command
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, LARGEST_REQUEST, 4)
        if not request:
            return None
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            return _forked(json.loads(request), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _forked(request: Any, descriptors: list[int]) -> list[str]:
    """Return in a new process, whose exit code this one writes."""
    *streams, code = descriptors
    pid = os.fork()
    if pid:
        for descriptor in (0, 1, 2, *streams):
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        os.write(code, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(code)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    arguments, cwd, environ, mask = request
    os.chdir(cwd)
    os.umask(mask)
    os.environ.clear()
    os.environ.update(environ)
    tempfile.tempdir = None
    sys.stdin = os.fdopen(0, closefd=False)
    return [*arguments]


def _end(ended: SystemExit) -> None:
    """End as an interpreter does, but for taking its modules apart.

    That would copy every page that is shared with the process that has loaded them.
    """
    if isinstance(ended.code, int):
        threading._shutdown()  # type: ignore[attr-defined]  # the steps of Py_FinalizeEx, in order
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code)


if __name__ == "__main__":
    _load_all()
    command = _next_command(socket.socket(fileno=int(sys.argv[1])))
    if command is not None:
        from reconciler.cli.main import main

        sys.argv = ["mosaic", *command]
        try:
            main()
        except SystemExit as ended:
            _end(ended)
            raise
