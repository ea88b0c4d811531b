"""The program of a process that `serve` or `up` starts to share its endpoint.

Its argument is the number of its channel; its input is what it has to know.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
import socket
import sys
from typing import TYPE_CHECKING

from reconciler import log
from reconciler.cli.terminal.streams import open_streams, print_events, verbatim_errors
from reconciler.errors import MosaicError
from reconciler.memory_protection import protect_memory
from reconciler.operations.endpoint import WorkerOrder, serve_as_worker

if TYPE_CHECKING:
    from types import FrameType

_log = logging.getLogger("reconciler.worker")


def main() -> None:
    """Serve until the process that started this one says so, or has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)  # a service manager sends them to every process
    order = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from the process that started it
    assert isinstance(order, WorkerOrder)
    open_streams()
    log.configure(order.level, order.settings.log_format, verbatim_errors())
    print_events(order.settings.log_format, output=True)
    protect_memory()  # before a key is read
    try:
        asyncio.run(serve_as_worker(order, socket.socket(fileno=int(sys.argv[1]))))
    except MosaicError as error:
        _log.error("%s; %s", error.message, error.hint, extra={"code": error.code})
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a traceback of Python's own may hold a row
        _log.error("unexpected", exc_info=error, extra={"code": "internal"})
        sys.exit(1)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, programs that are started do not inherit it."""


if __name__ == "__main__":
    main()
