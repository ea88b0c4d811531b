"""HTTP/1.1 as uvicorn speaks it, strict, and with the deadlines that uvicorn lacks."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler import log
from reconciler.errors import Refused
from reconciler.web.client_address import client_address
from reconciler.web.problems import problem_response, public_problem
from reconciler.web.refusal_log import RefusalReason
from reconciler.web.server.joined_transport import JoinedTransport
from reconciler.web.server.message_syntax import (
    MAX_FIELDS,
    MAX_HEAD,
    HeadTooLarge,
    StrictConnection,
    SyntaxRefused,
)

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    from reconciler.core.model.origin import Address
    from reconciler.web.limits import Admission, Limits

HEAD_DEADLINE_S: Final = 10.0  # from the connection, or the first byte after an answer
WRITE_DEADLINE_S: Final = 10.0  # for a client to take `WRITE_BUFFER` octets of an answer
WRITE_BUFFER: Final = 64 * 1024  # octets beyond those of the kernel
MAX_AGE_S: Final = 300.0  # then a connection ends with the answer that it waits for
LAST_ANSWER_S: Final = 60.0  # for that answer
ALWAYS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

_log = logging.getLogger(__name__)


class DeadlineProtocol(H11Protocol):
    """One connection, by the H11Protocol of uvicorn 0.54.0.

    A request whose head is not whole by its deadline ends the connection, and so does a body that
    still trickles in after its answer, an answer that is not read, and age. A body that is being
    read has a deadline of its own there. `client` is who a proxy spoke for, if one did.
    """

    def __init__(
        self,
        *,
        client: Address | None,
        admission: Admission,
        limits: Limits,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn: StrictConnection = StrictConnection()
        self._proxied_for = client
        self._admission, self._limits = admission, limits
        self._head_clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None
        self._age_clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clocks of the first head and of age."""
        transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)  # sets its client
        self.transport = cast("asyncio.Transport", JoinedTransport(transport, self.loop))
        self._admission.end_handshake()
        self._admission.end_with(transport.abort)
        if self._proxied_for is not None:
            self.client = self._proxied_for
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._age_clock = self.loop.call_later(MAX_AGE_S, self._retire)
        self._start_head_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clocks, and leave the place to another."""
        self._admission.give_back()
        for clock in (self._head_clock, self._write_clock, self._age_clock):
            if clock is not None:
                clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; the clock runs while no request is being served."""
        if self.transport.is_closing():
            return  # asyncio still delivers what came before: it must not be answered
        super().data_received(data)  # begins a cycle once the head is whole, or refuses
        if self._serving() is not None:
            self._stop_head_clock()
        elif self._head_clock is None:
            self._start_head_clock()

    def pause_writing(self) -> None:
        """Start the clock of an answer that is not read."""
        super().pause_writing()
        if self._write_clock is None:
            self._write_clock = self.loop.call_later(
                WRITE_DEADLINE_S, self._hang_up, RefusalReason.UNREAD_ANSWER
            )

    def resume_writing(self) -> None:
        """Stop the clock of the answer."""
        super().resume_writing()
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not ours
        """Answer what is not HTTP/1.1 with a problem, if an answer is still possible, and close."""
        self._limits.refusals.count(RefusalReason.SYNTAX, self._admission.client)
        # As `connection_lost` of uvicorn 0.54.0 tells a request that its body will not come.
        if (cycle := self._serving()) is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        problem, correlation_id = public_problem(self._refusal()), uuid4().hex
        address = client_address(self.client[0] if self.client else None)
        if self._limits.refusals.allows_line("request", self._admission.client):
            with log.about_request(correlation_id, None):
                _log.info("%s from %s: %s", problem.code, address, problem.detail)
        headers = {"X-Correlation-Id": correlation_id, **ALWAYS, "Connection": "close"}
        response = problem_response(problem, correlation_id, datetime.now(UTC), headers)
        head = h11.Response(status_code=response.status_code, headers=response.raw_headers)
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _refusal(self) -> Refused:
        if isinstance(self.conn.refusal, HeadTooLarge):
            return Refused(
                "request_head_too_large",
                f"the head is larger than {MAX_HEAD} octets or {MAX_FIELDS} fields",
            )
        fact = f": got {self.conn.refusal}" if isinstance(self.conn.refusal, SyntaxRefused) else ""
        return Refused("request_malformed", f"this is not a request of HTTP/1.1{fact}")

    def _serving(self) -> RequestResponseCycle | None:
        # uvicorn 0.54.0 sets it to None until the first request, and annotates it otherwise
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None or cycle.response_complete else cycle

    def _start_head_clock(self) -> None:
        self._head_clock = self.loop.call_later(
            HEAD_DEADLINE_S, self._hang_up, RefusalReason.SLOW_REQUEST
        )

    def _stop_head_clock(self) -> None:
        if self._head_clock is not None:
            self._head_clock.cancel()
            self._head_clock = None

    def _retire(self) -> None:
        self._age_clock = self.loop.call_later(LAST_ANSWER_S, self.transport.abort)
        if (cycle := self._serving()) is not None:
            close = (b"connection", b"close")
            cycle.default_headers = [*cycle.default_headers, close]
        if not self.transport.is_closing():
            self.shutdown()  # of uvicorn 0.54.0: at once if idle, else with the answer

    def _hang_up(self, reason: RefusalReason) -> None:
        self._limits.refusals.count(reason, self._admission.client)
        self.transport.abort()
