"""The middleware around every request: its address, its limits, and a problem for each error.

Knows nothing of what is served. Every exception ends here as a problem; its cause goes to the log
under the correlation id that the answer carries.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from reconciler.errors import MosaicError, Retry
from reconciler.web.client_address import bucket_of, client_address
from reconciler.web.problems import problem_response, public_problem
from reconciler.web.rate_limit import RateLimiter

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.core.setting_values import RateLimit
    from reconciler.enroll import Gateway

MAX_IN_FLIGHT: Final = 256  # requests; the pool and the CA let far fewer through at once
MAX_COUNTED: Final = 1_000  # (code, address) pairs kept until a timer records them
PROBES: Final = frozenset({"/healthz", "/readyz"})  # not limited: they share a proxy's address

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request as the log names it."""

    correlation_id: str
    address: str


def request_context(request: Request) -> RequestContext:
    """Return the id and the address of the request."""
    context: RequestContext = request.state.context
    return context


class GatewayMiddleware:
    """The middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        gateway: Gateway,
        rate_limit: RateLimit,
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._limiter = RateLimiter(rate_limit)
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        address = client_address(client[0] if client else None)
        request = RequestContext(uuid4().hex, address)
        scope.setdefault("state", {})["context"] = request
        exchange = _Exchange(scope, receive, send, request.correlation_id)
        began_s = time.monotonic()
        self._in_flight += 1
        try:
            await self._serve(scope, exchange, request)
        finally:
            self._in_flight -= 1
        took_ms = (time.monotonic() - began_s) * 1000
        _log.log(
            logging.DEBUG if scope["path"] in PROBES else logging.INFO,
            "%s %s %s from %s in %.0f ms [%s]",
            scope["method"],
            exchange.status or "unanswered",
            _known_path(scope),
            request.address,
            took_ms,
            request.correlation_id,
        )

    async def _serve(self, scope: Scope, exchange: _Exchange, request: RequestContext) -> None:
        try:
            self._admit(scope, request.address)
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            _log.debug("the client went away [%s]", request.correlation_id)
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass as it is
            await self._answer(error, exchange, request)(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # only a server that stops cancels; what was begun is finished by who asks again
            stopping = Retry("unavailable", "the server stops: a request was cut off")
            await self._answer(stopping, exchange, request)(scope, exchange.receive, exchange.send)

    def _admit(self, scope: Scope, address: str) -> None:
        if scope["path"] in PROBES:
            return  # a busy gateway is no dead one
        if self._in_flight > MAX_IN_FLIGHT:
            raise Retry("unavailable", f"more than {MAX_IN_FLIGHT} requests at once")
        if wait_s := self._limiter.wait_s(address, time.monotonic()):
            raise Retry(
                "rate_limited",
                "too many requests from this address",
                retry_after=timedelta(seconds=wait_s),
            )

    def _answer(self, error: Exception, exchange: _Exchange, request: RequestContext) -> Response:
        if exchange.status is not None:  # too late for another answer
            raise error
        problem = public_problem(error)
        if isinstance(error, MosaicError):
            level = logging.ERROR if problem.status >= 500 else logging.INFO
            text = f"{error.message}; {error.hint}" if error.hint else error.message
            _log.log(level, "%s: %s [%s]", error.code, text, request.correlation_id)
        else:
            _log.error("unexpected [%s]", request.correlation_id, exc_info=error)
        if problem.status < 500:
            self._count(problem.code, bucket_of(request.address))
        return problem_response(problem, request.correlation_id, self._gateway.clock())

    def _count(self, code: str, address: str) -> None:
        counted = self._gateway.refusals
        full = len(counted) >= MAX_COUNTED and (code, address) not in counted
        counted[code, "others" if full else address] += 1


class _Exchange:
    """One request's messages, with the headers that every answer carries."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, correlation_id: str) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send = receive, send
        self._correlation_id = correlation_id
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Correlation-Id"] = self._correlation_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
            if self._unread:  # else the rest of the body would be waited for
                headers["Connection"] = "close"
        await self._send(message)


def _known_path(scope: Scope) -> str:
    """Return the path for the log, without what the client chose: that may be a secret."""
    if "endpoint" not in scope:
        return "(no such path)"
    path: str = scope["path"]
    for name, value in scope["path_params"].items():
        path = path.replace(value, f"{{{name}}}")
    return path
