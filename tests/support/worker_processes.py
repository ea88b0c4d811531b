"""The processes of an endpoint: their number and limits, clients of each, and whether one lives."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

WORKERS: Final = 3
BURST: Final = 20  # requests of an address, and none after them
PROXY: Final = "127.0.0.1"  # which names its clients
ADDRESSES: Final = tuple(f"127.0.3.{number}" for number in range(1, 31))


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
