"""The middleware around every request: its address, its limits, and a problem for each error.

Knows nothing of what is served. Every exception ends here as a problem; its cause goes to the log
under the correlation id that the answer carries.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from reconciler import log
from reconciler.errors import MosaicError, Retry
from reconciler.web.client_address import bucket_of, client_address
from reconciler.web.problems import problem_response, public_problem
from reconciler.web.requests import trace_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.enroll import Gateway
    from reconciler.web.limits import Lease, Limits

MAX_COUNTED: Final = 1_000  # (code, address) pairs kept until a timer records them
PROBES: Final = frozenset({"/healthz", "/readyz"})
OTHER: Final = "other"  # the route of a path that is none of ours
UNANSWERED: Final = "unanswered"
SLICE: Final = 64 * 1024  # octets of an answer that are handed over at once

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
        limits: Limits,
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        address = client_address(client[0] if client else None)
        request = RequestContext(uuid4().hex, address)
        scope.setdefault("state", {})["context"] = request
        with log.about_request(request.correlation_id, trace_of(scope)):
            await self._serve_logged(scope, receive, send, request)

    async def _serve_logged(
        self, scope: Scope, receive: Receive, send: Send, request: RequestContext
    ) -> None:
        address, probes = request.address, scope["path"] in PROBES
        slot = _Slot(None if probes and self._limits.may_probe(address) else self._limits, address)
        exchange = _Exchange(scope, receive, send, slot, request.correlation_id)
        began_s = time.monotonic()
        try:
            await self._serve(scope, exchange, request)
        finally:
            slot.close()
        took_s = time.monotonic() - began_s
        status = str(exchange.status or UNANSWERED)
        self._gateway.telemetry.request(_route(scope), status, took_s)
        if not self._has_lines(scope, exchange, request):
            return
        if exchange.problem is not None:
            level, error = exchange.problem
            text = f"{error.message}; {error.hint}" if error.hint else error.message
            _log.log(level, "%s: %s", error.code, text, extra={"code": error.code})
        _log.log(
            logging.DEBUG if probes else logging.INFO,
            "%s %s %s from %s in %.0f ms",
            scope["method"],
            status,
            _route(scope) if "route" in scope else "(no such path)",
            request.address,
            took_s * 1000,
        )

    def _has_lines(self, scope: Scope, exchange: _Exchange, request: RequestContext) -> bool:
        """Tell whether a request is logged: what was issued always is, the rest up to a rate."""
        if _log.isEnabledFor(logging.DEBUG):
            return True
        if exchange.status == 429:  # which is counted as a refusal
            return False
        if scope["method"] == "POST" and exchange.status in (200, 201):
            return True
        kind = "error" if (exchange.status or 0) >= 500 else "request"
        return self._limits.refusals.allows_line(kind, bucket_of(request.address))

    async def _serve(self, scope: Scope, exchange: _Exchange, request: RequestContext) -> None:
        try:
            await exchange.slot.open()
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            _log.debug("the client went away")
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass as it is
            await self._answer(error, exchange, request)(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # only a server that stops cancels; what was begun is finished by who asks again
            stopping = Retry("unavailable", "the server stops: a request was cut off")
            await self._answer(stopping, exchange, request)(scope, exchange.receive, exchange.send)

    def _answer(self, error: Exception, exchange: _Exchange, request: RequestContext) -> Response:
        if exchange.status is not None:  # too late for another answer
            raise error
        problem = public_problem(error)
        if isinstance(error, MosaicError):
            level = logging.ERROR if problem.status >= 500 else logging.INFO
            exchange.problem = (level, error)
        else:
            _log.error("unexpected", exc_info=error, extra={"code": problem.code})
        if problem.status < 500:
            self._count(problem.code, bucket_of(request.address))
        return problem_response(problem, request.correlation_id, self._gateway.clock())

    def _count(self, code: str, address: str) -> None:
        counted = self._gateway.refusals
        full = len(counted) >= MAX_COUNTED and (code, address) not in counted
        counted[code, "others" if full else address] += 1


class _Slot:
    """The place of a request among those in flight, while it is worked on.

    A client that is waited for holds none: neither one whose body is on its way, nor one that does
    not read its answer. Without limits there is nothing to hold.
    """

    def __init__(self, limits: Limits | None, address: str) -> None:
        self._limits, self._address = limits, address
        self._lease: Lease | None = None
        self._closed = False

    async def open(self) -> None:
        """Count the request, and take a place; raise `Retry`, `rate_limited` or `unavailable`."""
        if self._limits is not None:
            self._limits.admit_request(self._address)
            await self.take()

    async def take(self) -> None:
        """Take a place, and wait for a turn; raise `Retry`, `unavailable`, if there is none."""
        if self._limits is not None and not self._closed:
            self._lease = self._limits.begin_request(self._address)
            await self.turn()

    async def turn(self) -> None:
        """Wait for a turn."""
        if self._limits is not None:
            await self._limits.request_turn(self._address)

    def give_back(self) -> None:
        """Free the place; again does nothing."""
        if self._lease is not None:
            self._lease.give_back()
            self._lease = None

    def close(self) -> None:
        """Free the place for good."""
        self.give_back()
        self._closed = True


class _Exchange:
    """One request's messages, with the headers that every answer carries."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, slot: _Slot, correlation_id: str
    ) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send, self.slot = receive, send, slot
        self._correlation_id = correlation_id
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self.status: int | None = None
        self.problem: tuple[int, MosaicError] | None = None  # with the level at which it is logged

    async def receive(self) -> Message:
        self.slot.give_back()
        message = await self._receive()
        await self.slot.take()
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
            # else the rest of the body would be waited for, and a flood go on for nothing
            if self._unread or self.status == 429:
                headers["Connection"] = "close"
            self.slot.close()
        await self._send_slices(message)

    async def _send_slices(self, message: Message) -> None:
        """Hand a body over bit by bit: little of it waits for a slow client, and nobody for it."""
        body = message.get("body", b"")
        last = max(0, len(body) - 1) // SLICE * SLICE
        for start in range(0, last, SLICE):
            part = body[start : start + SLICE]
            await self._send({"type": message["type"], "body": part, "more_body": True})
            await self.slot.turn()  # the kernel takes megabytes at once
        await self._send({**message, "body": body[last:]} if last else message)


def _route(scope: Scope) -> str:
    """Return the route of a path, without what the client chose: that may be a secret."""
    if "route" not in scope:
        return OTHER
    path: str = scope["route"].path
    return path
