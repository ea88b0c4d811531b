"""Addresses to listen on: taken, or refused at once with who has them."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.model.origin import Address

PORTS: Final = range(20_000, 32_000)  # below what Linux gives to outgoing connections
BACKLOG: Final = 4096  # of connections that wait to be accepted; the system may allow fewer
_LISTENING: Final = "0A"  # proc(5), net/tcp: TCP_LISTEN


def listen_on(address: Address, purpose: str, hint: str) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        NeedsEdit: `config_invalid`, naming the address, the process that has it, and `hint`.
    """
    host, port = address
    try:
        family, kind, protocol, _, resolved = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(resolved)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        user = holder_of(port)
        raise NeedsEdit(
            "config_invalid",
            f"{purpose} cannot listen on {host} port {port}: {reason}"
            + (f" (by {user})" if user else ""),
            hint=hint,
        ) from None
    return listener


def require_free(address: Address, purpose: str, hint: str) -> None:
    """Refuse an address that `purpose` could not listen on now; errors as of `listen_on`."""
    listen_on(address, purpose, hint).close()


def free_ports() -> Iterator[int]:
    """Give ports of loopback that nobody listens on now, in no order."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def holder_of(port: int) -> str:
    """Return pid and program of who listens on a TCP port, as far as this user may see it."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                if os.fspath(descriptor.readlink()) in inodes:
                    return f"pid {process.name}, {(process / 'comm').read_text().strip()}"
        except OSError:  # it has ended, or is another user's
            continue
    return ""
