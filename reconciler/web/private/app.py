"""The application of the private listener: probes, `/authorize`, and a problem for all else.

Knows nothing of the public endpoint. Whatever goes wrong is answered with a problem, and so with
no 2xx.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from reconciler.errors import MosaicError, Refused, Retry
from reconciler.web.private.authorize import authorize, is_authorize
from reconciler.web.private.problems import PRIVATE_TOKEN, Denied, problem_of
from reconciler.web.problems import problem_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from reconciler.authority import Authority
    from reconciler.web.private.access import Access

READY_S: Final = 4.5  # longest for all checks of a probe: it is answered within 5 s
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
        correlation_id = uuid4().hex
        headers = Headers(scope=scope)
        try:
            response = await self._respond(scope, headers)
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass as it is
            response = self._problem(error, scope, correlation_id)
        except asyncio.CancelledError:  # only a server that stops cancels
            stopping = Retry("unavailable", "the server stops: a request was cut off")
            response = self._problem(stopping, scope, correlation_id)
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def finish(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent["X-Correlation-Id"] = correlation_id
                sent["X-Content-Type-Options"] = "nosniff"
                sent["Cache-Control"] = "no-store"
                if has_body:  # it is not read
                    sent["Connection"] = "close"
            await send(message)

        await response(scope, receive, finish)

    async def _respond(self, scope: Scope, headers: Headers) -> Response:
        path = scope["path"]
        if path == "/livez":
            return JSONResponse({"status": "ok"})
        if path == "/readyz":
            return await self._ready()
        if self.authority is not None and is_authorize(path):
            self.access.require_token(headers, forwarded=True)
            return await authorize(self.authority, scope, headers)
        self.access.require_host(headers)
        self.access.require_token(headers)
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
            _log.log(level, "%s: %s [%s]", error.code, error.message, correlation_id)
        elif not isinstance(error, Denied):
            _log.error("unexpected [%s]", correlation_id, exc_info=error)
        asks = problem.code == PRIVATE_TOKEN and not is_authorize(scope["path"])
        challenge = CHALLENGE if asks else None
        return problem_response(problem, correlation_id, self.clock(), challenge)
