"""HTTP/1.1 as uvicorn speaks it, with deadlines that uvicorn lacks: a slow head is cut off."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import Refused
from reconciler.web.problems import problem_response, public_problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    from reconciler.core.model.origin import Address

HEAD_DEADLINE_S: Final = 10.0  # from the connection, or the first byte after an answer
MAX_HEAD: Final = 16 * 1024  # octets
MAX_CONNECTIONS: Final = 1024


class DeadlineProtocol(H11Protocol):
    """One connection, by the H11Protocol of uvicorn 0.54.0.

    A request whose head is not whole by its deadline ends the connection, and so does a body that
    still trickles in after its answer. A body that is being read has a deadline of its own there.
    `client` is who a proxy spoke for, if one did.
    """

    def __init__(self, *, client: Address | None, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**kwargs)
        self._proxied_for = client
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the first head's clock; above `MAX_CONNECTIONS`, hang up."""
        super().connection_made(transport)  # counts this connection, and sets its client
        if self._proxied_for is not None:
            self.client = self._proxied_for
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; the clock runs while no request is being served."""
        super().data_received(data)  # begins a cycle once the head is whole, or answers 400
        if self._serving() is not None:
            self._stop_clock()
        elif self._deadline is None:
            self._start_clock()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not ours
        """Answer what is no HTTP/1.1 with a problem, where an answer is still possible."""
        # As `connection_lost` of uvicorn 0.54.0 tells a request that its body will not come.
        if (cycle := self._serving()) is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        refusal = Refused(
            "request_malformed",
            f"this is no HTTP/1.1 request with a head of up to {MAX_HEAD} octets",
        )
        response = problem_response(
            public_problem(refusal), uuid4().hex, datetime.now(UTC), {"Connection": "close"}
        )
        head = h11.Response(
            status_code=response.status_code,
            headers=[*response.raw_headers, (b"cache-control", b"no-store")],
        )
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _serving(self) -> RequestResponseCycle | None:
        # uvicorn 0.54.0 sets it to None until the first request, and annotates it otherwise
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None or cycle.response_complete else cycle

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._hang_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self.transport.abort()
