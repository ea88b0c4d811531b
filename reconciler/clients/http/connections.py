"""What connections of every client share: how long a request may take, and why one failed."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to resolve and connect, between two parts of an answer, and for a request in all."""

    connect_s: float
    read_s: float
    total_s: float


def system_failure(error: BaseException) -> str:
    """Return the error of the operating system below `error`, or '' if there is none.

    asyncio says which call failed and not why, and anyio only that all attempts did.
    """
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause.exceptions[0] if isinstance(cause, ExceptionGroup) else cause
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError | socket.gaierror):
        return ""
    return os.strerror(error.errno) if error.errno else ""
