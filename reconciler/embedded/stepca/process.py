"""The home's step-ca: started by `up` and `serve` alone, and stopped with them.

A step-ca of a gateway that was killed still holds its database and its port, so it is found by its
working folder, which is the CA's, and stopped before a new one starts.
"""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.embedded import processes
from reconciler.embedded.ports import free_ports, require_free
from reconciler.embedded.stepca.ca_files import CONFIG
from reconciler.errors import MosaicError, NeedsEdit, Retry

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.config.home import Home
    from reconciler.core.model.origin import Address

PROGRAM: Final = "step-ca"
READY_S: Final = 30.0
POLL_S: Final = 0.03
STOP: Final = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0))


class StepCa:
    """The step-ca of a home, run from `binary`."""

    def __init__(self, home: Home, binary: Path) -> None:
        self._folder, self._binary = home.ca, binary
        self._log = home.log_of("step-ca")
        self._child: subprocess.Popen[bytes] | None = None
        self._config: tuple[int, int] | None = None

    def start(self, give_up: Callable[[], bool]) -> None:
        """Start it, after ending one that was left behind, and wait until it answers.

        Raises:
            NeedsEdit: `config_invalid`: its port is taken, or its root is not its own.
            Retry: `child_failed`, with what it wrote last, or where `give_up` said so.
        """
        self.require_port()
        self._config = self._written()
        before = processes.log_size(self._log)
        self._child = processes.spawn(
            [self._binary, self._folder / CONFIG], log=self._log, cwd=self._folder
        )
        until = time.monotonic() + READY_S
        try:
            while not self.answers():
                if self._child.poll() is not None or time.monotonic() > until or give_up():
                    raise Retry(
                        "child_failed",
                        f"step-ca did not start: {processes.last_lines(self._log, before)}",
                        hint=f"see {self._log}",
                    )
                time.sleep(POLL_S)
        except MosaicError:
            self.stop()
            raise

    def require_port(self) -> None:
        """Refuse a port that somebody else has, once a step-ca that was left behind is ended.

        Raises:
            NeedsEdit: `config_invalid`, naming who has it.
        """
        self.stop()
        address = self._address()
        free = next(free_ports(), 0)
        require_free(
            address,
            "step-ca",
            "stop that process, or give step-ca another port: ca_url (MOSAIC_CA_URL), as in"
            f" `MOSAIC_CA_URL=https://{address[0]}:{free} mosaic federation up`",
        )

    def alive(self) -> bool:
        """Tell whether the child still runs, on the `ca.json` that there is."""
        running = self._child is not None and self._child.poll() is None
        return running and self._config == self._written()

    def _written(self) -> tuple[int, int] | None:
        try:
            stat = (self._folder / CONFIG).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def stop(self) -> None:
        """Stop it and reap it, and whatever else runs in the CA's folder."""
        end_all_in(self._folder, self._binary)
        if self._child is not None:
            self._child.kill()  # nothing, where it has ended
            self._child.wait()
            self._child = None

    def answers(self) -> bool:
        """Ask it for its health, trusting its own root alone.

        Raises:
            NeedsEdit: `config_invalid`: its certificate does not lead to that root.
        """
        try:
            with closing(self._connection()) as connection:
                connection.request("GET", "/health")
                return connection.getresponse().status == 200
        except ssl.SSLCertVerificationError as error:
            raise NeedsEdit(
                "config_invalid",
                f"{self._root}: the certificate of step-ca does not lead to this root:"
                f" {error.verify_message}",
                hint="restore root, intermediate and its key together, from one backup of the home",
            ) from None
        except (OSError, http.client.HTTPException):
            return False

    def _connection(self) -> http.client.HTTPSConnection:
        host, port = self._address()
        trust = ssl.create_default_context(cafile=str(self._root))
        return http.client.HTTPSConnection(host, port, timeout=2, context=trust)

    @property
    def _root(self) -> Path:
        return self._folder / "root_ca.crt"

    def _address(self) -> Address:
        """Return where `ca.json` says that it listens.

        Raises:
            NeedsEdit: `config_invalid`: the file does not say it.
        """
        path = self._folder / CONFIG
        try:
            parts = urlsplit(f"https://{json.loads(path.read_text())['address']}")
            host, port = parts.hostname or "127.0.0.1", parts.port or 443
        except (OSError, ValueError, KeyError, TypeError):
            raise NeedsEdit(
                "config_invalid",
                f"{path}: it does not say where step-ca listens",
                hint="restore it from a backup of the home",
            ) from None
        return host, port


def end_all_in(folder: Path, binary: Path | None) -> None:
    """End every step-ca whose working folder is a CA's folder."""
    names = {PROGRAM, binary.resolve().name} if binary is not None else {PROGRAM}
    for name in sorted(names):
        for identity in processes.working_in(folder, name):
            processes.stop(identity, STOP)
