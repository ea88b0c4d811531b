"""Ports that must be known before anything listens on them."""

from __future__ import annotations

import random
import socket
from typing import Final

# below what Linux gives to outgoing connections and to who asks for any port: nothing takes one
# of these by chance between the choice and its use
PORTS: Final = range(10_000, 20_000)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
