"""The trace of the request that is being served goes on with each request that is sent for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.core.trace import HEADER
from reconciler.log import current_trace

if TYPE_CHECKING:
    import httpx


async def _add_traceparent(request: httpx.Request) -> None:
    trace = current_trace()
    if trace is not None:
        request.headers[HEADER] = trace.traceparent


EVENT_HOOKS: Final[dict[str, list[Any]]] = {"request": [_add_traceparent]}  # of every client
