"""The connections to step-ca: whom they trust, how long they last, and how much is read.

HTTP/1.1 by h11, for httpx takes three times as long, of each enrollment. What goes wrong is one of
two exceptions: what matters above is only whether a request may have reached the CA.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import h11

from reconciler.clients.http.connections import system_failure
from reconciler.core.model.text import printable
from reconciler.core.telemetry import SILENT, CaOutcome, Telemetry
from reconciler.core.trace import TRACEPARENT
from reconciler.errors import NeedsEdit
from reconciler.log import current_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.clients.http.connections import Timeouts

MAX_CONNECTIONS: Final = 16
KEEP_ALIVE_S: Final = 5.0  # step-ca closes idle connections after 15 s; ours go first
MAX_JSON: Final = 64 * 1024  # octets of an answer
MAX_LISTED: Final = 500  # characters of a foreign text
READ: Final = 64 * 1024  # octets at once


class NeverSent(Exception):
    """The request surely never left."""


class NoAnswer(Exception):
    """The request may have arrived; no whole answer came back."""


@dataclass(frozen=True, slots=True)
class CaAnswer:
    """A status and a body within its limit."""

    status: int
    body: bytes

    @property
    def message(self) -> str:
        """What step-ca's error says: `{"status": N, "message": "…"}`; fit to be printed."""
        try:
            text = str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            text = self.body[:MAX_LISTED].decode("utf-8", "replace")
        return printable(text, MAX_LISTED)


class CaWire:
    """Connections to the CA at `url`, trusting `roots` (PEM texts) and nothing else.

    Raises:
        NeedsEdit: `config_invalid`: the roots are none, or cannot be read.
    """

    def __init__(
        self, url: str, roots: Sequence[str], timeouts: Timeouts, telemetry: Telemetry = SILENT
    ) -> None:
        self._url, self._timeouts, self._telemetry = urlsplit(url), timeouts, telemetry
        self._tls = _trusting("".join(roots))
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        """Close all connections."""
        while self._idle:
            await self._idle.pop().close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        limit: int = MAX_JSON,
    ) -> CaAnswer:
        """Send one request, once, and return its answer, whatever its status.

        Raises:
            NeverSent, NoAnswer: with the reason, in plain words.
        """
        began_s, outcome = time.monotonic(), CaOutcome.UNAVAILABLE
        try:
            answer = await self._send(method, path, json, limit)
            outcome = _outcome(answer.status)
        finally:
            call = path.partition("?")[0].rpartition("/")[2]
            self._telemetry.ca_request(call, outcome, time.monotonic() - began_s)
        return answer

    async def _send(self, method: str, path: str, json: Any, limit: int) -> CaAnswer:
        try:
            async with asyncio.timeout(self._timeouts.read_s):
                await self._slots.acquire()
        except TimeoutError:
            raise NeverSent(f"{MAX_CONNECTIONS} other requests keep the CA busy") from None
        try:
            async with asyncio.timeout(self._timeouts.total_s):
                return await self._exchange(method, path, json, limit)
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {self._timeouts.total_s:g} s") from None
        finally:
            self._slots.release()

    async def _exchange(self, method: str, path: str, document: Any, limit: int) -> CaAnswer:
        connection = await self._connection()
        body = b"" if document is None else _json(document)
        try:
            answer = await connection.exchange(self._request(method, path, body), body, limit)
        except (OSError, EOFError, h11.ProtocolError) as error:
            connection.abort()
            raise NoAnswer(_reason(error)) from error
        except BaseException:  # cancelled: its answer must not be read as that of another request
            connection.abort()
            raise
        if connection.restart():
            self._idle.append(connection)
        else:
            await connection.close()
        return answer

    def _request(self, method: str, path: str, body: bytes) -> h11.Request:
        headers = [("Host", self._url.netloc), ("Accept-Encoding", "identity")]
        if body:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if (trace := current_trace()) is not None:
            headers.append((TRACEPARENT, trace.traceparent))
        return h11.Request(method=method, target=self._url.path + path, headers=headers)

    async def _connection(self) -> _Connection:
        """Return a connection that is idle, or a new one.

        Raises:
            NeverSent: no connection can be made.
        """
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable(now_s):
                return connection
            connection.abort()
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                return await _Connection.open(
                    self._url.hostname, self._url.port, self._tls, self._timeouts.read_s
                )
        except TimeoutError:
            reason = f"no connection within {self._timeouts.connect_s:g} s"
            raise NeverSent(reason) from None
        except OSError as error:  # that of TLS is one
            raise NeverSent(_reason(error)) from error


class _Connection:
    """One connection, and what HTTP/1.1 says of it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read_s: float
    ) -> None:
        self._reader, self._writer, self._read_s = reader, writer, read_s
        self._http = h11.Connection(h11.CLIENT)
        self._idle_since_s = 0.0

    @classmethod
    async def open(
        cls, host: str | None, port: int | None, tls: ssl.SSLContext, read_s: float
    ) -> Self:
        """Connect; raise `OSError`."""
        return cls(*await asyncio.open_connection(host, port or 443, ssl=tls), read_s)

    def is_usable(self, now_s: float) -> bool:
        """Tell whether a request may be sent: the other side has not closed, nor will it soon."""
        fresh = now_s - self._idle_since_s < KEEP_ALIVE_S
        return fresh and not (self._reader.at_eof() or self._writer.is_closing())

    async def exchange(self, request: h11.Request, body: bytes, limit: int) -> CaAnswer:
        """Send a request and return its answer; raise `OSError`, `EOFError` or `ProtocolError`."""
        events = (request, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()
        status, answer = 0, bytearray()
        while True:
            match await self._next_event():
                case h11.Response(status_code=status):
                    pass
                case h11.Data(data=part):
                    answer += part
                    if len(answer) > limit:
                        raise NoAnswer(f"the answer is larger than {limit:,} octets")
                case h11.EndOfMessage():
                    return CaAnswer(status, bytes(answer))
                case h11.ConnectionClosed():
                    raise EOFError("the CA closed the connection before its answer")

    async def _next_event(self) -> h11.Event:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            try:
                async with asyncio.timeout(self._read_s):
                    received = await self._reader.read(READ)
            except TimeoutError:
                raise EOFError(f"nothing arrived within {self._read_s:g} s") from None
            self._http.receive_data(received)
        assert isinstance(event, h11.Event)
        return event

    def restart(self) -> bool:
        """Get ready for the next request; tell whether there may be one."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._idle_since_s = asyncio.get_running_loop().time()
        return True

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._read_s):
                await self._writer.wait_closed()

    def abort(self) -> None:
        """End the connection at once."""
        self._writer.transport.abort()


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _outcome(status: int) -> CaOutcome:
    if 200 <= status < 300:
        return CaOutcome.OK
    return CaOutcome.REFUSED if 400 <= status < 500 else CaOutcome.UNAVAILABLE


def _trusting(roots: str) -> ssl.SSLContext:
    with suppress(ssl.SSLError, ValueError):
        if roots.strip():  # with no roots of its own, a context would trust the system's
            return ssl.create_default_context(cadata=roots)
    raise NeedsEdit(
        "config_invalid",
        "the roots that verify step-ca are not PEM certificates",
        hint="restore the bundle that MOSAIC_CA_ROOT names, or that of the home",
    )


def _reason(error: Exception) -> str:
    if failure := system_failure(error):
        return failure
    text = printable(str(error), MAX_LISTED)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
