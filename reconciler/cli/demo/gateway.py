"""One gateway of the demo: a folder, the commands typed in it, and a look behind them."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.errors import Defect, Retry
from reconciler.process import Bounds, ProcessResult, run_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.core.issuance.x509 import CertificateFacts

COMMAND: Final = (sys.executable, "-m", "reconciler.cli.main", "federation")
COMMAND_BOUNDS: Final = Bounds(seconds=600, output=16 * 1024 * 1024)
READY_S: Final = 60
STOP_S: Final = 15


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """What the other gateway issued to us: the certificate's facts, and the key as stored."""

    facts: CertificateFacts
    sealed: bytes


def expect(holds: bool, what: str) -> None:
    """Raise `MosaicError` (`internal`) unless a step has shown what it had to."""
    if not holds:
        raise Defect("internal", f"the demo did not show that {what}")


@dataclass(frozen=True, slots=True)
class DemoGateway:
    """A gateway in `folder`: its home is `.mosaic/`, its source `manifests/`."""

    folder: Path

    @property
    def name(self) -> str:
        """What the demo calls it."""
        return self.folder.name

    @property
    def manifests(self) -> Path:
        """The folder of its manifests."""
        return self.folder / "manifests"

    def show(self, *argv: str, stdin: str = "") -> None:
        """Type a command that must succeed, and show what it printed."""
        self._typed(argv)
        _show(self._output(argv, stdin))

    def json(self, *argv: str, shown: bool = False) -> Any:  # JSON
        """Return the JSON of a command that must succeed."""
        if shown:
            self._typed(argv)
        return json.loads(self._output((*argv, "--output", "json")))

    def fails(self, *argv: str) -> None:
        """Type a command that must fail with exit code 1, and show its error."""
        self._typed(argv)
        result = self._run(argv)
        _show(result.errors)
        click.echo(f"    exit {result.code}")
        expect(result.code == 1, f"`{argv[0]} {argv[1]}` is refused")

    @contextmanager
    def up(self) -> Iterator[str]:
        """Run `up` until the block ends; yields the line with which it says that it is ready."""
        process = subprocess.Popen(
            [*COMMAND, "up"],
            cwd=self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _ready_line(process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    @property
    def settings(self) -> Settings:
        """The settings of its home."""
        from reconciler.config import load_settings

        return load_settings({}, _environment(), self.folder.resolve())

    def outbound_certificate(self, name: str) -> StoredCredential:
        """Return the certificate and the sealed key of an outbound peer, read from its row."""
        # late: only the demo's process needs them, and only here
        from reconciler.core.privileges import Role
        from reconciler.crypto.certificates import read_certificate
        from reconciler.embedded.postgres.home_server import postgres
        from reconciler.store.db import Database
        from reconciler.store.outbound.peers import certified

        home = self.settings.home
        assert home is not None
        with (
            postgres(home, login=Role.GATEWAY) as url,
            Database(url, "mosaic demo").transaction() as tx,
        ):
            peer = certified(tx, name)
        assert peer.certificate is not None
        assert peer.sealed_key is not None
        return StoredCredential(read_certificate(peer.certificate.pem), peer.sealed_key)

    def _typed(self, argv: tuple[str, ...]) -> None:
        click.echo(f"  {self.name}$ mosaic federation {shlex.join(argv)}")

    def _run(self, argv: tuple[str, ...], stdin: str = "") -> ProcessResult:
        self.folder.mkdir(exist_ok=True)
        words, content = (*COMMAND, *argv), stdin.encode()
        return run_process(
            words, cwd=self.folder, env=_environment(), content=content, bounds=COMMAND_BOUNDS
        )

    def _output(self, argv: tuple[str, ...], stdin: str = "") -> bytes:
        result = self._run(argv, stdin)
        if result.code != 0:
            _show(result.errors)
            failure = f"`{' '.join(argv[:2])}` failed in the demo: exit {result.code}"
            raise Defect("internal", failure)
        return result.output


def _environment() -> dict[str, str]:
    # a setting of the operator's own gateway must not reach the demo's, but for one of the machine
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MOSAIC_") or name == "MOSAIC_POSTGRES_BIN"
    }


def _show(output: bytes) -> None:
    for line in output.decode(errors="replace").rstrip().splitlines():
        click.echo(f"    {line}")


def _ready_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    until, seen = time.monotonic() + READY_S, b""
    descriptor = process.stdout.fileno()
    while (left := until - time.monotonic()) > 0:
        readable, _, _ = select.select([descriptor], [], [], left)
        read = os.read(descriptor, 65536) if readable else b""
        if not read:
            break
        seen += read
        for line in seen.decode(errors="replace").splitlines():
            if line.startswith("ready"):
                return line
    _show(seen)
    raise Retry("child_failed", "`up` did not become ready in the demo")
