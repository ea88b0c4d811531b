"""The connections of this process, so that it can end although its server hangs.

Such a server answers neither a statement nor its cancellation, and psycopg waits for both: so the
socket is shut down, which rolls back what was not committed.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from reconciler.errors import Retry

if TYPE_CHECKING:
    from psycopg import BaseConnection

_lock = threading.Lock()
_open: weakref.WeakSet[BaseConnection[Any]] = weakref.WeakSet()
_over = threading.Event()


def note(connection: BaseConnection[Any]) -> None:
    """Note a connection that is open."""
    with _lock:
        _open.add(connection)
    if _over.is_set():
        sever(connection)


def require_time() -> None:
    """Raise `Retry` (`database_unavailable`) once the process has no time left to connect."""
    if _over.is_set():
        raise Retry("database_unavailable", "this process is ending")


def sever(connection: BaseConnection[Any]) -> None:
    """Make what is under way on a connection fail at once."""
    with suppress(OSError, psycopg.Error):
        descriptor = os.dup(connection.fileno())
        with socket.socket(fileno=descriptor) as connected:
            connected.shutdown(socket.SHUT_RDWR)


def sever_all() -> None:
    """Do so on every connection, and open no other one: the process ends."""
    _over.set()
    with _lock:
        connections = list(_open)
    for each in connections:
        sever(each)
