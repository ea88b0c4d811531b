"""The application of the private listener: probes, metrics, `/authorize` and the pages.

Knows nothing of the public endpoint. Whatever goes wrong is answered with a problem, and so with
no 2xx.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response

from reconciler import log
from reconciler.errors import MosaicError, Refused, Retry
from reconciler.web.metrics.definitions import ALLOWED
from reconciler.web.metrics.registry import CONTENT_TYPE
from reconciler.web.middleware import OTHER
from reconciler.web.private.authorize import PATH as AUTHORIZE
from reconciler.web.private.authorize import authorize, is_authorize
from reconciler.web.private.pages.app import METHODS, error_page, is_page, shows
from reconciler.web.private.problems import HOST_UNKNOWN, UNAUTHENTICATED, Denied, problem_of
from reconciler.web.problems import problem_response
from reconciler.web.requests import trace_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from reconciler.authority import Authority
    from reconciler.web.metrics.registry import Metrics
    from reconciler.web.private.access import Access
    from reconciler.web.private.pages.app import Pages

READY_S: Final = 4.5  # longest for all checks of a probe: it is answered within 5 s
METRICS: Final = "/metrics"
METHOD: Final = "method_not_allowed"
PAGES: Final = "pages"
ROUTES: Final = frozenset({"/livez", "/readyz", METRICS})
ALWAYS: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
HEADERS: Final = {  # of a problem
    UNAUTHENTICATED: {"WWW-Authenticate": 'Basic realm="mosaic"'},  # so that a browser asks
    METHOD: {"Allow": ", ".join(METHODS)},  # RFC 9110, section 15.5.6
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrivateApp:
    """What one process serves to its own organisation.

    `checks` raise `Retry` while the process is not ready. `metrics` are of this process. Without an
    `authority`, `/authorize` is no path of it, and without `pages` there are none.
    """

    access: Access
    checks: tuple[Callable[[], Awaitable[None]], ...]
    metrics: Metrics
    authority: Authority | None = None
    pages: Pages | None = None
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http"
        correlation_id, began_s = os.urandom(16).hex(), time.monotonic()
        with log.about_request(correlation_id, trace_of(scope)):
            response, code = await self._response(scope, correlation_id)
        response.raw_headers += [(b"x-correlation-id", correlation_id.encode()), *ALWAYS]
        if _has_body(scope):  # it is not read
            response.raw_headers.append((b"connection", b"close"))
        await response(scope, receive, send)
        route = self._route(scope["path"])
        self.metrics.request(route, str(response.status_code), time.monotonic() - began_s)
        if route == AUTHORIZE:
            self.metrics.authority_decision(code)

    async def _response(self, scope: Scope, correlation_id: str) -> tuple[Response, str]:
        """Return the answer, and the code of its problem or `allowed`."""
        try:
            return await self._respond(scope), ALLOWED
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass as it is
            return self._problem(error, scope, correlation_id)
        except asyncio.CancelledError:  # only a server that stops cancels
            stopping = Retry("unavailable", "the server stops: a request was cut off")
            return self._problem(stopping, scope, correlation_id)

    async def _respond(self, scope: Scope) -> Response:
        path, fields = scope["path"], scope["headers"]
        if path == "/livez":
            return JSONResponse({"status": "ok"})
        if path == "/readyz":
            return await self._ready()
        if self.authority is not None and is_authorize(path):
            self.access.require_token(fields, forwarded=True)
            return await authorize(self.authority, scope)
        self.access.require_host(fields)
        self.access.require_token(fields)
        if path == METRICS:
            return await self._metrics(scope["method"])
        if self.pages is not None:
            return await self.pages.respond(scope)
        raise Refused("not_found", "there is no such path on the private listener")

    def _route(self, path: str) -> str:
        """Return the route of an answer, without what the client chose."""
        if self.authority is not None and is_authorize(path):
            return AUTHORIZE
        if path in ROUTES:
            return path
        return PAGES if self.pages is not None and is_page(path) else OTHER

    async def _metrics(self, method: str) -> Response:
        if method not in METHODS:
            raise Refused(METHOD, "this path takes GET")
        return Response(await self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _ready(self) -> Response:
        try:
            async with asyncio.timeout(READY_S):
                await asyncio.gather(*(check() for check in self.checks))
        except TimeoutError:
            raise Retry("database_unavailable", f"no answer within {READY_S} s") from None
        return JSONResponse({"status": "ready"})

    def _problem(
        self, error: BaseException, scope: Scope, correlation_id: str
    ) -> tuple[Response, str]:
        assert isinstance(error, Exception)
        problem = problem_of(error)
        if isinstance(error, MosaicError):
            level = logging.WARNING if problem.status >= 500 else logging.DEBUG
            _log.log(level, "%s: %s", error.code, error)
        elif not isinstance(error, Denied):
            _log.error("unexpected", exc_info=error, extra={"code": problem.code})
        is_call = is_authorize(scope["path"]) or scope["path"] in ROUTES
        headers = {} if is_authorize(scope["path"]) else HEADERS.get(problem.code, {})
        here = problem.code != HOST_UNKNOWN  # no page under the name of another host
        if self.pages is not None and not is_call and here and shows(scope):
            return error_page(problem, correlation_id, headers), problem.code
        response = problem_response(problem, correlation_id, self.clock(), headers)
        return response, problem.code


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False
