"""What every server by uvicorn has in common, and one without TLS that ends with an event."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp


def server_config(app: ASGIApp, **settings: Any) -> uvicorn.Config:
    """Return the configuration of a server: HTTP alone, and no log of its own but errors."""
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        **settings,
    )


class SignallessServer(uvicorn.Server):
    """uvicorn's server, in a process that handles signals itself."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # they are the caller's
        """Leave signals alone: uvicorn 0.54.0 raises those that it caught once it has ended."""
        return nullcontext()


async def serve_plain(config: uvicorn.Config, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve what connects to a socket that listens, until `stop` is set."""
    server = SignallessServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
