"""Ports that must be known before anything listens on them, each kept until this process ends.

A kept port is bound, and nothing listens on it: nobody who asks for a free port is given it, and a
server may have it all the same, as it may share an address on which nobody listens.
"""

from __future__ import annotations

import random
import socket
from typing import Final

# below what Linux gives to outgoing connections and to who asks for any port: nothing takes one
# of these by chance
PORTS: Final = range(10_000, 20_000)

_kept: Final[dict[int, socket.socket]] = {}


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens, and which no other test has."""
    while True:
        try:
            return keep_port(random.choice(PORTS))
        except OSError:
            continue


def keep_port(port: int) -> int:
    """Keep a port of 127.0.0.1 that nobody has but perhaps this process, and return it.

    Raises:
        OSError: somebody else has it.
    """
    if port not in _kept:
        kept = socket.socket()
        try:
            kept.bind(("127.0.0.1", port))
        except OSError:
            kept.close()
            raise
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # from now on it is shared
        _kept[port] = kept
    return port
