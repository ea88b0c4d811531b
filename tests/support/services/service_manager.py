"""A service manager for tests: the socket of sd_notify, and units as systemd reads them."""

from __future__ import annotations

import socket
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.project.checkout import ROOT
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNITS = ROOT / "deploy" / "systemd"


@dataclass
class Manager:
    """The receiving end of the messages of one service."""

    path: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)

    def received(self) -> list[str]:
        """Return every line that has come."""
        while True:
            try:
                message = self._socket.recv(4096)
            except BlockingIOError:
                return self.lines
            self.lines += message.decode().split("\n")

    def wait_for(self, line: str, times: int = 1) -> None:
        """Wait until a line has come so often."""
        wait_until(lambda: self.received().count(line) >= times, f"{line} in {self.lines}")

    def close(self) -> None:
        self._socket.close()


def read_unit(path: Path) -> dict[str, list[str]]:
    """Return the values of each name of a unit, whatever their section."""
    values: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", ";", "[")):
            name, _, value = line.partition("=")
            values[name].append(value)
    return values


def environment_of(unit: Mapping[str, list[str]], credentials: Path) -> dict[str, str]:
    """Return the variables that a unit sets, its files aside; its credentials are in a folder."""
    pairs = [value.replace("%d", str(credentials)).partition("=") for value in unit["Environment"]]
    return {name: value for name, _, value in pairs}


def credentials_of(unit: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the file of each credential that a unit loads."""
    pairs = [value.partition(":") for value in unit["LoadCredential"]]
    return {name: path for name, _, path in pairs}
