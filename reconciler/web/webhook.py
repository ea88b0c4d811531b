"""The webhook of the loop: a push to the source starts a pass, and does nothing else.

Plain HTTP, for a proxy or a forge on the same machine. What it is sent is only counted as a sign to
look at the source: nothing in it is believed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.core.model.body import BodyTooLarge, read_body
from reconciler.core.webhook import is_authentic, is_push
from reconciler.web.server.plain import serve_plain, server_config

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.requests import Request


MAX_BODY: Final = 1024 * 1024  # octets; a push of many commits is long
READ_S: Final = 10.0
PATH: Final = "/webhook"

_log = logging.getLogger(__name__)


def webhook_app(secret: bytes, pushed: Callable[[], None]) -> Starlette:
    """Return the application: `pushed` is called for each push that is authentic."""

    async def receive(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _answer(413, "the body is too large, or arrived too slowly")
        if not is_authentic(request.headers, body, secret, time.time()):
            _log.warning("a webhook without the right signature is refused")
            return _answer(401, "the signature is missing or wrong")
        if not is_push(request.headers):
            return Response(status_code=204)
        pushed()
        return _answer(202, "the source will be read")

    return Starlette(routes=[Route(PATH, receive, methods=["POST"])])


async def serve_webhook(app: Starlette, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve what connects to a socket that is bound, until `stop` is set."""
    config = server_config(app, limit_concurrency=32, timeout_graceful_shutdown=2)
    await serve_plain(config, listener, stop)


async def _body(request: Request) -> bytes | None:
    try:
        async with asyncio.timeout(READ_S):
            return await read_body(request.stream(), MAX_BODY)
    except (BodyTooLarge, TimeoutError):
        return None


def _answer(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "detail": detail}, status)
