"""What the kernel said of a connection, below the words of the libraries above it."""

from __future__ import annotations

import os
import socket
import ssl


def system_failure(error: BaseException) -> str:
    """Return the error of the operating system below `error`, or '' if there is none.

    asyncio says which call failed and not why, and anyio only that all attempts did.
    """
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause.exceptions[0] if isinstance(cause, ExceptionGroup) else cause
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError | socket.gaierror):
        return ""
    return os.strerror(error.errno) if error.errno else ""
