"""Whole gateways for tests: real homes, driven by the real command, each on its own PostgreSQL."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import tomllib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from reconciler.config.home import Home
from reconciler.core.issuance.invitation import parse_invitation
from reconciler.crypto.certificates import read_crl
from reconciler.embedded.destroy import destroy_home
from reconciler.embedded.postgres import server as clusters
from reconciler.embedded.postgres.account import server_account
from reconciler.embedded.postgres.home_server import cluster_of, postgres
from reconciler.embedded.postgres.programs import server_binaries
from tests.support.commands.process import COMMAND, Command
from tests.support.database.folder import database_folder
from tests.support.gateways.enrollee import API, Enrollee
from tests.support.ports import keep_port
from tests.support.waiting import PATIENCE_S, POLL_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.commands.process import Ended


def psql(url: str, statement: str) -> str:
    """Return what psql prints for a statement, without headings."""
    program = server_binaries(server_account()) / "psql"
    items = [str(program), url, "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-Atc", statement]
    done = subprocess.run(items, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def gateway_folder(name: str, folder: str | None = None) -> Iterator[TestGateway]:
    """Give a gateway's folder that other accounts may enter; end what is left in it."""
    with tempfile.TemporaryDirectory(
        prefix="mosaic-e2e-", dir=folder or database_folder(), ignore_cleanup_errors=True
    ) as parent:
        Path(parent).chmod(0o755)  # as root, PostgreSQL runs as another account
        gateway = TestGateway(Path(parent) / name)
        gateway.cwd.mkdir()
        try:
            yield gateway
        finally:
            gateway.end()


@dataclass
class Up:
    """A command that goes on, such as `up`: its process and the lines that it has written."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _changed: threading.Event = field(default_factory=threading.Event)
    _reader: threading.Thread | None = None

    @classmethod
    def begin(cls, words: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> Self:
        """Start a program, and collect what it writes."""
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun = cls(process)
        begun.read()
        return begun

    def read(self) -> None:
        """Collect what it writes, until it ends."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        """Return the first line that holds a text, once it is written."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            self._changed.clear()
            for line in list(self.lines):
                if text in line:
                    return line
            assert self.process.poll() is None, self.output
            self._changed.wait(POLL_S)
        raise AssertionError(f"no {text!r} in {timeout_s} s:\n{self.output}")

    @property
    def output(self) -> str:
        """All that it has written."""
        return "\n".join(self.lines)

    def stop(self, number: signal.Signals = signal.SIGTERM, wait_s: float = PATIENCE_S) -> int:
        """Send a signal and return the exit code; one that does not end in time is killed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        if self._reader is not None:
            self._reader.join(PATIENCE_S)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append(line.rstrip())
                self._changed.set()


@dataclass(frozen=True)
class TestGateway(Command):
    """A shell in the folder of one gateway, with `.mosaic/` and `manifests/` in it."""

    __test__ = False

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """Run to the end, with no terminal anywhere; no other test has the ports of a new home."""
        if arguments[0] != "init":
            return super().__call__(*arguments, stdin=stdin, **variables)
        with Path(__file__).open() as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)  # two that choose at the same time could choose one
            ended = super().__call__(*arguments, stdin=stdin, **variables)
            if self.home.config.is_file():
                for port in re.findall(r"127\.0\.0\.1:(\d+)", self.home.config.read_text()):
                    keep_port(int(port))
        return ended

    @property
    def home(self) -> Home:
        """The embedded gateway's home."""
        return Home(self.cwd / ".mosaic")

    @property
    def manifests(self) -> Path:
        """The source."""
        return self.cwd / "manifests"

    def grant(self, name: str) -> Any:
        """The grant of a name as `grant show` tells it."""
        return self.document("grant", "show", name)

    def sql(self, statement: str) -> str:
        """Ask the database with psql, whether or not `up` runs; columns are divided by `|`."""
        with postgres(self.home) as url:
            return psql(url, statement)

    @contextmanager
    def up(self, **variables: str) -> Iterator[Up]:
        """Run `up` until the block ends; it is ready when the block begins."""
        started = self.start_up(**variables)
        try:
            yield started
        finally:
            assert started.stop() in (0, -signal.SIGKILL), started.output

    def start_up(self, **variables: str) -> Up:
        """Start `up` and wait until it says that it is ready."""
        started = self.begin_up(**variables)
        started.wait_for("ready: ")
        return started

    def begin_up(self, **variables: str) -> Up:
        """Start `up`."""
        return Up.begin([*COMMAND, "up"], self.cwd, self.environ(variables))

    @property
    def public_url(self) -> str:
        """Where the endpoint is when `up` runs."""
        return str(tomllib.loads(self.home.config.read_text())["public_url"])

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts the gateway's own CA alone."""
        return ssl.create_default_context(cafile=str(self.home.ca / "root_ca.crt"))

    def client(self) -> httpx.Client:
        """Return an HTTP client of the endpoint."""
        return httpx.Client(
            base_url=self.public_url,
            verify=self.tls(),
            trust_env=False,
            timeout=PATIENCE_S,  # longer than a gateway waits for its CA
        )

    def enroll(self, grant: str) -> str:
        """Invite to a grant, enroll under it with a new key, and return the serial."""
        invitation = parse_invitation(self.document("grant", "invite", grant)["invitation"]["url"])
        with self.client() as client:
            answer = Enrollee().enroll(client, invitation.token)
        assert answer.status_code == 201, answer.text
        serial: str = answer.json()["serial"]
        return serial

    def revoked_serials(self) -> frozenset[str]:
        """Return the serials on the revocation list that the endpoint serves."""
        issuer = (self.home.ca / "intermediate_ca.crt").read_text()
        with self.client() as client:
            answer = client.get(f"{API}/ca/crl").raise_for_status()
        return frozenset(read_crl(answer.content, issuer).serials)

    def end(self) -> None:
        """Kill what runs in the folder, and remove the home with what of it lies elsewhere."""
        self.kill(*self.processes())
        if self.home.path.exists():
            destroy_home(self.home)

    def processes(self) -> dict[int, str]:
        """Return the command line by pid of all that works in the folder or was told of it."""
        folder = f"{self.cwd}/"
        values = {}
        for process in Path("/proc").iterdir():
            if not process.name.isdecimal():
                continue
            with suppress(OSError):  # it has ended
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                argv = words.decode(errors="replace")  # another process may have any octets
                where = f"{(process / 'cwd').readlink()}/"
                if argv and (where.startswith(folder) or folder in argv):
                    values[int(process.name)] = argv
        values.pop(os.getpid(), None)
        return values

    def child(self, program: str) -> int:
        """Return the pid of the gateway's `postgres` (the server's first process) or `step-ca`."""
        if program == "postgres":
            server = clusters.running(cluster_of(self.home))
            assert server is not None, "PostgreSQL does not run"
            return server.pid
        (pid,) = (pid for pid, line in self.processes().items() if f"/{program} " in line)
        return pid

    def kill(self, *pids: int) -> None:
        """Send SIGKILL, and wait until nothing of them runs."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.processes().keys() & set(pids), "they have ended")
