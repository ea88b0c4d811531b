"""ASGI middleware for resource servers in Python: only requests with authority come through."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler import log
from reconciler.errors import MosaicError
from reconciler.web.private.authorize import decision_on
from reconciler.web.private.problems import Denied, problem_of
from reconciler.web.problems import problem_response
from reconciler.web.requests import trace_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from reconciler.authority import Authority

    Question = tuple[str, str]  # a resource and a verb

DECISION: Final = "mosaic.authority"  # the key of a scope
NO_STORE: Final = {"Cache-Control": "no-store"}
POLICY_VIOLATION: Final = 1008  # RFC 6455 7.4.1; before the handshake it becomes a 403

_log = logging.getLogger(__name__)


class AuthorityMiddleware:
    """Asks about the certificate that a proxy forwards in one of the headers of `/authorize`.

    `question` says what a request is about; None is for the certificate alone. The decision is in
    `scope["mosaic.authority"]`. Everything else is answered as `/authorize` does.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authority: Authority,
        question: Callable[[Scope], Question | None],
    ) -> None:
        self._app, self._authority, self._question = app, authority, question

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, if there is authority for it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        correlation_id = os.urandom(16).hex()
        with log.about(correlation_id=correlation_id, trace=trace_of(scope)):
            try:
                resource, verb = self._question(scope) or (None, None)
                decision = await decision_on(self._authority, scope["headers"], resource, verb)
            except Exception as error:  # noqa: BLE001 - the border: nothing may pass as it is
                await _refuse(error, correlation_id, scope, receive, send)
                return
        await self._app({**scope, DECISION: decision}, receive, send)


async def _refuse(
    error: Exception, correlation_id: str, scope: Scope, receive: Receive, send: Send
) -> None:
    if not isinstance(error, (Denied, MosaicError)):
        _log.error("unexpected", exc_info=error)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    response = problem_response(problem_of(error), correlation_id, datetime.now(UTC), NO_STORE)
    await response(scope, receive, send)
