"""HTTPS to a destination: to its addresses alone, how long, and how much it may say.

The certificate and the Host header are those of the name, whatever the address.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from reconciler.clients.http.connections import Timeouts, system_failure
from reconciler.clients.http.destination import unreachable
from reconciler.core.model.body import BodyTooLarge, read_body
from reconciler.core.model.text import printable
from reconciler.core.trace import TRACEPARENT
from reconciler.errors import MosaicError, Refused
from reconciler.log import current_trace

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from reconciler.clients.http.address_rules import IpAddress
    from reconciler.clients.http.destination import Destination

MAX_ANSWER: Final = 256 * 1024  # octets; sixteen certificates, or an answer with a wide scope
MAX_SMALL_PARTS: Final = 256  # of it, beside one for each 64 octets: httpx takes 28 us for each
EXCERPT: Final = 4096  # octets of an answer whose body only people read
EXCERPT_S: Final = 2
HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "mosaic-federation",
}

_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")  # OpenSSL 1.1 to 3.5, of HTTP


# in all longer than a gateway may wait for its CA
DEFAULT_TIMEOUTS: Final = Timeouts(connect_s=5, read_s=25, total_s=30)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: the status, the headers that matter, the body within its limit."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def server_time(self) -> datetime | None:
        """The server's clock, of its `Date` (RFC 9110 6.6.1), in whole seconds."""
        try:
            date = parsedate_to_datetime(self.headers["date"])
            return date.astimezone(UTC)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError):
            return None


class HttpsChannel:
    """Connections to one destination, which `tls` verifies, also through a proxy.

    An async context manager. A client of httpx is not used: it keeps cookies, and reads where a
    redirect leads, and what a host puts there can make the next request, or this one, a defect.
    """

    def __init__(self, to: Destination, tls: ssl.SSLContext, timeouts: Timeouts) -> None:
        self._to, self._limits = to, timeouts
        self._http: httpx.AsyncBaseTransport = (
            _Pinned(to.addresses, tls)
            if to.proxy is None
            else httpx.AsyncHTTPTransport(verify=tls, trust_env=False, proxy=to.proxy)
        )
        timeout = httpx.Timeout(timeouts.read_s, connect=timeouts.connect_s)
        self._extensions = {"timeout": timeout.as_dict()}

    async def __aenter__(self) -> Self:
        """Return the channel."""
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Response:
        """Send one request and return its answer, whatever its status; never a redirect's target.

        Raises:
            MosaicError: `peer_unreachable`, or `peer_wrong_answer` where it is too long.
        """
        return await self._bounded(self._exchange(self._request(method, path, headers, json=json)))

    async def post(self, path: str, headers: Mapping[str, str], content: bytes) -> Response:
        """Send octets, and return the answer with the beginning of its body, however it goes on.

        Raises:
            MosaicError: `peer_unreachable`.
        """
        request = self._request("POST", path, headers, content=content)
        return await self._bounded(self._deliver(request))

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        *,
        content: bytes | None = None,
        json: Any = None,
    ) -> httpx.Request:
        sent = {**HEADERS, **(headers or {})}
        # the trace of the request that is being served goes on with one that is sent for it
        if (trace := current_trace()) is not None:
            sent[TRACEPARENT] = trace.traceparent
        url = f"{self._to.base_url}{path}"
        return httpx.Request(
            method, url, headers=sent, content=content, json=json, extensions=self._extensions
        )

    async def _bounded(self, exchange: Awaitable[Response]) -> Response:
        try:
            async with asyncio.timeout(self._limits.total_s):
                return await exchange
        except TimeoutError:
            reason = f"no answer within {self._limits.total_s:g} s"
            raise unreachable(self._to, reason) from None
        except (httpx.HTTPError, OSError) as error:  # OSError: TLS that breaks while it is read
            reason = _reason(error, self._to.proxy)
            raise unreachable(self._to, reason) from None  # its cause holds the request

    async def _deliver(self, request: httpx.Request) -> Response:
        async with self._response(request) as response:
            body = bytearray()
            # the status alone decides: a body that breaks off or never ends does not change it
            with suppress(TimeoutError, httpx.HTTPError, OSError):
                async with asyncio.timeout(EXCERPT_S):
                    async for part in response.aiter_raw():
                        body += part[: EXCERPT - len(body)]
                        if len(body) >= EXCERPT:
                            break
            return Response(response.status_code, response.headers, bytes(body))

    async def _exchange(self, request: httpx.Request) -> Response:
        async with self._response(request) as response:
            try:
                body = await read_body(_parts(response), MAX_ANSWER)
            except BodyTooLarge:
                reason = f"its answer is larger than {MAX_ANSWER:,} octets"
                raise wrong_answer(reason) from None
            return Response(response.status_code, response.headers, body)

    @asynccontextmanager
    async def _response(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        response = await self._http.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()


async def _parts(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the parts of an answer, unless they are so small that they take the event loop."""
    small = 0
    async for part in response.aiter_raw():
        small = max(0, small + 1 - len(part) // 64)
        if small > MAX_SMALL_PARTS:
            raise wrong_answer("it comes in many small parts")
        yield part


class _Pinned(httpx.AsyncBaseTransport):
    """Sends to the given addresses, first that connects; TLS and Host are of the URL's name."""

    def __init__(self, addresses: tuple[IpAddress, ...], tls: ssl.SSLContext) -> None:
        self._addresses = addresses
        self._inner = httpx.AsyncHTTPTransport(verify=tls, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.raw_host.decode()}
        named = request.url
        failure: httpx.HTTPError = httpx.ConnectError("its name has no address")
        for address in self._addresses:
            request.url = named.copy_with(host=str(address))
            try:
                return await self._inner.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing was sent
                failure = error
        raise failure

    async def aclose(self) -> None:
        await self._inner.aclose()


def wrong_answer(reason: str) -> MosaicError:
    """Return the error of an answer that is not of the contract."""
    return Refused(
        "peer_wrong_answer",
        f"the other gateway sent a wrong answer: {reason}",
        hint="check that the invitation's host is a gateway of a version like this one",
    )


def _reason(error: httpx.HTTPError | OSError, proxy: httpx.Proxy | None) -> str:
    """Return the error in plain words: what OpenSSL and the kernel say is kept, cut short."""
    text = printable(str(error), 200)
    if isinstance(error, httpx.ProxyError):
        return f"the proxy answered: {text or 'nothing'}"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "it stopped answering"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        _, _, why = text.partition("certificate verify failed: ")
        why = why.split(" (_ssl")[0] or text
        late = "expired" in why or "not yet valid" in why
        return f"its certificate does not verify: {why}" + (": check the clocks" if late else "")
    if any(sign in text for sign in _NO_TLS):
        return "it does not speak TLS on this port"
    if isinstance(error, httpx.ConnectError):
        failure = system_failure(error) or text or "no connection"
        return failure if proxy is None else f"through the proxy: {failure}"
    return "the connection broke before the answer was whole"
