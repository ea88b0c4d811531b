"""The webhook of the loop: a push to the source starts a pass, and does nothing else.

Plain HTTP, for a proxy or a forge on the same machine. What it is sent is only counted as a sign to
look at the source: nothing in it is believed. Who sends it slowly, or much of it, keeps no other
address out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.core.model.body import BodyTooLarge, read_body
from reconciler.core.setting_values import RateLimit
from reconciler.core.webhook import is_authentic, is_push
from reconciler.web.client_address import client_address
from reconciler.web.limits import Capacity, Limits
from reconciler.web.refusal_log import RefusalLog
from reconciler.web.server.http import DeadlineProtocol
from reconciler.web.server.plain import serve_plain, server_config

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.requests import Request


MAX_BODY: Final = 1024 * 1024  # octets; a push of many commits is long
READ_S: Final = 10.0
PATH: Final = "/webhook"
CAPACITY: Final = Capacity(connections=128, connections_each=32)  # with a body of `MAX_BODY` each

_log = logging.getLogger(__name__)


def webhook_app(secret: bytes, pushed: Callable[[], None]) -> Starlette:
    """Return the application: `pushed` is called for each push that is authentic."""
    refusals = RefusalLog()

    async def receive(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _answer(413, "the body is too large, or arrived too slowly")
        if not is_authentic(request.headers, body, secret, time.time()):
            client = client_address(request.client.host if request.client else None)
            if refusals.allows_line("webhook", client):
                _log.warning("a webhook without the right signature is refused")
            return _answer(401, "the signature is missing or wrong")
        if not is_push(request.headers):
            return Response(status_code=204)
        pushed()
        return _answer(202, "the source will be read")

    return Starlette(routes=[Route(PATH, receive, methods=["POST"])])


async def serve_webhook(app: Starlette, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve what connects to a socket that is bound, until `stop` is set."""
    limits = Limits(CAPACITY, RateLimit(0.0, 0))

    def protocol(**kwargs: Any) -> asyncio.Protocol:
        return _Limited(limits, kwargs)

    config = server_config(app, http=protocol, timeout_graceful_shutdown=2)
    await serve_plain(config, listener, stop)


class _Limited(asyncio.Protocol):
    """Lets a connection in by its address, which is known once it is made; else hangs up."""

    def __init__(self, limits: Limits, kwargs: dict[str, Any]) -> None:
        self._limits, self._kwargs = limits, kwargs

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection to the protocol of the endpoint."""
        transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")  # None if it has gone again
        admission = self._limits.admit_connection(client_address(peer[0] if peer else None))
        if admission is None:
            transport.abort()
            return
        admitted = DeadlineProtocol(
            client=None, admission=admission, limits=self._limits, **self._kwargs
        )
        transport.set_protocol(admitted)
        admitted.connection_made(transport)


async def _body(request: Request) -> bytes | None:
    try:
        async with asyncio.timeout(READ_S):
            return await read_body(request.stream(), MAX_BODY)
    except (BodyTooLarge, TimeoutError):
        return None


def _answer(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "detail": detail}, status)
