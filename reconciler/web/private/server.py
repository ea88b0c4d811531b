"""The server of the private listener: uvicorn without TLS, on an address or a socket's path."""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from reconciler.core.model.origin import address_text
from reconciler.core.setting_values import LOOPBACK, RateLimit, UnixPath
from reconciler.embedded.ports import BACKLOG, listen_on
from reconciler.errors import NeedsEdit
from reconciler.files import remedy
from reconciler.web.limits import Limits, capacity_of, raise_descriptor_limit
from reconciler.web.server.http import DeadlineProtocol
from reconciler.web.server.plain import serve_plain, server_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from reconciler.core.model.origin import Address

PURPOSE: Final = "the private listener"
HINT: Final = "end that, or set another address: private_listen (MOSAIC_PRIVATE_LISTEN)"
UNLIMITED: Final = "127.0.0.1"  # an address for which no limit but the total counts
GRACE_S: Final = 2  # for requests in flight once the server stops
# A proxy sends on a connection that it believes open: this end closes later than theirs do (nginx
# 60 s, HAProxy 5 s).
KEEP_ALIVE_S: Final = 120


@dataclass(frozen=True, slots=True)
class PrivateSocket:
    """A socket that listens, and the address under which others know it."""

    socket: socket.socket
    address: Address | UnixPath

    @property
    def shown(self) -> str:
        """The address, as a person or a proxy's configuration names it."""
        if isinstance(self.address, UnixPath):
            return str(self.address)
        return f"http://{address_text(self.socket.getsockname()[:2])}"

    def close(self) -> None:
        """Close it; a path is removed."""
        self.socket.close()
        if isinstance(self.address, UnixPath):
            with suppress(OSError):
                Path(self.address.path).unlink()


def bind_private(address: Address | UnixPath) -> PrivateSocket:
    """Return a socket that listens at the address.

    Raises:
        NeedsEdit: `config_invalid`: somebody else does, or nobody can.
    """
    if not isinstance(address, UnixPath):
        return PrivateSocket(listen_on(address, PURPOSE, HINT), address)
    try:
        return PrivateSocket(_bind_path(address.path), address)
    except OSError as error:
        reason = error.strerror or error
        message = f"{PURPOSE} cannot listen on {address}: {reason}"
        setting = "private_listen (MOSAIC_PRIVATE_LISTEN)"
        hint = HINT if error.errno == errno.EADDRINUSE else f"{remedy(error)}: {setting}"
        raise NeedsEdit("config_invalid", message, hint=hint) from None


def _bind_path(path: str) -> socket.socket:
    """Listen on a path; what a killed process left there is replaced, and nothing else."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(Path(path).stat().st_mode) and not _answers(path):
                Path(path).unlink()
        listener.bind(path)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
    return True


async def serve_private(app: ASGIApp, listener: PrivateSocket, stop: asyncio.Event) -> None:
    """Serve what connects to a socket, until `stop` is set."""
    config = server_config(
        app,
        http=_protocols(),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    try:
        await serve_plain(config, listener.socket, stop)
    finally:
        listener.close()


def _protocols() -> Callable[..., asyncio.Protocol]:
    """Return what makes the protocol of a connection: few clients, each of many connections."""
    limits = Limits(capacity_of(raise_descriptor_limit()), RateLimit(0.0, 0), LOOPBACK)

    def protocol(**kwargs: Any) -> asyncio.Protocol:
        admission = limits.admit_connection(UNLIMITED)
        if admission is None:
            return _HangUp()
        return _PlainProtocol(client=None, admission=admission, limits=limits, **kwargs)

    return protocol


class _PlainProtocol(DeadlineProtocol):
    """The protocol of the endpoint for proxies, which keep a connection as long as they like."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clocks, but that of age."""
        super().connection_made(transport)
        if self._age_clock is not None:
            self._age_clock.cancel()


class _HangUp(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close a connection above the limit."""
        cast("asyncio.Transport", transport).abort()
