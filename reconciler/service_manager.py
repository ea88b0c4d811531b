"""The service manager that started this process, and the messages that it takes: sd_notify(3).

A message is one datagram of lines `NAME=value` to the Unix socket that `NOTIFY_SOCKET` names; a
name that begins with `@` is of the abstract namespace. Knows nothing of what the process does.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SEND_S: Final = 1.0  # longest for one message: a manager that hangs must not hold the process

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """A service manager: the path of its socket (None: there is none), and its watchdog's limit.

    `watchdog` is the longest that it waits for a WATCHDOG=1; None if it waits for none.
    """

    socket_path: str | None = None
    watchdog: timedelta | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> ServiceManager:
        """Return the manager that an environment names; `pid` is that of this process."""
        path = environ.get("NOTIFY_SOCKET", "")
        if not path.startswith(("/", "@")):
            return cls()
        limit = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watches = ours and limit.isascii() and limit.isdigit() and int(limit) > 0
        return cls(path, timedelta(microseconds=int(limit)) if watches else None)

    def notify(self, *lines: str) -> None:
        """Send a message; one that cannot be sent is a warning."""
        if self.socket_path is None:
            return
        address = self.socket_path
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_S)
                sender.connect(os.fsencode(address))
                sender.send("\n".join(lines).encode())
        except OSError as error:
            reason = error.strerror or str(error)
            _log.warning("the service manager takes no message at NOTIFY_SOCKET: %s", reason)
