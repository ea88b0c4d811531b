"""The application of the private listener: probes, `/authorize`, and a problem for all else.

Knows nothing of the public endpoint. Whatever goes wrong is answered with a problem, and so with
no 2xx.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse

from reconciler import log
from reconciler.errors import MosaicError, Refused, Retry
from reconciler.web.private.authorize import authorize, is_authorize
from reconciler.web.private.problems import PRIVATE_TOKEN, Denied, problem_of
from reconciler.web.problems import problem_response
from reconciler.web.requests import trace_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from reconciler.authority import Authority
    from reconciler.web.private.access import Access

READY_S: Final = 4.5  # longest for all checks of a probe: it is answered within 5 s
ALWAYS: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="mosaic"'}  # so that a browser asks

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrivateApp:
    """What one process serves to its own organisation.

    `checks` raise `Retry` while the process is not ready. Without an `authority`, `/authorize` is
    no path of this process.
    """

    access: Access
    checks: tuple[Callable[[], Awaitable[None]], ...]
    authority: Authority | None = None
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http"
        correlation_id = os.urandom(16).hex()
        with log.about(correlation_id=correlation_id, trace=trace_of(scope)):
            response = await self._response(scope, correlation_id)
        response.raw_headers += [(b"x-correlation-id", correlation_id.encode()), *ALWAYS]
        if _has_body(scope):  # it is not read
            response.raw_headers.append((b"connection", b"close"))
        await response(scope, receive, send)

    async def _response(self, scope: Scope, correlation_id: str) -> Response:
        try:
            return await self._respond(scope)
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
        raise Refused("not_found", "there is no such path on the private listener")

    async def _ready(self) -> Response:
        try:
            async with asyncio.timeout(READY_S):
                await asyncio.gather(*(check() for check in self.checks))
        except TimeoutError:
            raise Retry("database_unavailable", f"no answer within {READY_S} s") from None
        return JSONResponse({"status": "ready"})

    def _problem(self, error: BaseException, scope: Scope, correlation_id: str) -> Response:
        assert isinstance(error, Exception)
        problem = problem_of(error)
        if isinstance(error, MosaicError):
            level = logging.WARNING if problem.status >= 500 else logging.DEBUG
            _log.log(level, "%s: %s", error.code, error)
        elif not isinstance(error, Denied):
            _log.error("unexpected", exc_info=error, extra={"code": problem.code})
        asks = problem.code == PRIVATE_TOKEN and not is_authorize(scope["path"])
        challenge = CHALLENGE if asks else None
        return problem_response(problem, correlation_id, self.clock(), challenge)


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
