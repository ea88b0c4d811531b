"""HTTPS to a host that somebody else named: where it may lead, how long, and how much it may say.

A name is resolved once, every address is judged, and connections go to exactly those addresses: a
name that resolves to something else a moment later changes nothing. The certificate and the Host
header are still those of the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from reconciler.clients.http.address_rules import literal_address, may_reach
from reconciler.clients.http.proxy import UNUSED_HINT, proxy_for, proxy_name, proxy_transport
from reconciler.clients.http.timeouts import Timeouts
from reconciler.core.model.body import BodyTooLarge, read_body
from reconciler.core.model.text import printable, shown
from reconciler.core.setting_values import ProxyRules
from reconciler.errors import MosaicError, NeedsEdit, Refused, Retry

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from reconciler.clients.http.address_rules import IpAddress
    from reconciler.core.setting_values import Network

UNREACHABLE_HINT: Final = "check the name, the port and the network between, then try again"
MAX_ANSWER: Final = 256 * 1024  # octets; sixteen certificates, or an answer with a wide scope
HTTPS_PORT: Final = 443
DIRECT: Final = ProxyRules()

_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")  # OpenSSL 1.1 to 3.5, of HTTP


# in all longer than a gateway may wait for its CA
DEFAULT_TIMEOUTS: Final = Timeouts(connect_s=5, read_s=25, total_s=30)


@dataclass(frozen=True, slots=True)
class Destination:
    """A base URL without a slash at its end, and the addresses that its host was found to have.

    There are none where it is reached through `proxy`, which looks the name up. `hint` is what to
    do where it cannot be reached.
    """

    base_url: str
    addresses: tuple[IpAddress, ...]
    proxy: httpx.Proxy | None = None
    hint: str = UNREACHABLE_HINT

    @property
    def host(self) -> str:
        """The host as people write it, with its port."""
        return httpx.URL(self.base_url).netloc.decode()


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


async def find(
    base_url: str,
    allow_addresses: tuple[Network, ...],
    timeouts: Timeouts,
    rules: ProxyRules = DIRECT,
) -> Destination:
    """Resolve the host of an https URL and judge all of its addresses; or its name, for a proxy.

    Raises:
        NeedsEdit: `invitation_invalid`: it is no https URL; `config_invalid`: no HTTP proxy.
        Refused: `peer_address_refused`: one of the addresses is not global, nor allowed.
        Retry: `peer_unreachable`: the name does not resolve.
    """
    url = _read_url(base_url)
    host, port = url.raw_host.decode(), url.port or HTTPS_PORT
    proxy = proxy_for(rules, host, port)
    if proxy is not None:
        literal = literal_address(host)
        _judge(url.host, () if literal is None else (literal,), allow_addresses)
        return Destination(
            str(url).rstrip("/"), (), proxy, f"check the proxy {proxy_name(proxy)}, then try again"
        )
    hint = UNREACHABLE_HINT + (UNUSED_HINT if rules.url is not None and not rules.used else "")
    addresses = await _resolve(url, host, port, timeouts, hint)
    _judge(url.host, addresses, allow_addresses)
    return Destination(str(url).rstrip("/"), addresses, hint=hint)


async def _resolve(
    url: httpx.URL, host: str, port: int, timeouts: Timeouts, hint: str
) -> tuple[IpAddress, ...]:
    try:
        async with asyncio.timeout(timeouts.connect_s):
            entries = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        reason = f"its name did not resolve in {timeouts.connect_s:g} s"
        raise unreachable(url.host, reason, hint) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "its name cannot be looked up"
        raise unreachable(url.host, f"its name does not resolve: {reason}", hint) from None
    texts = dict.fromkeys(str(entry[4][0]) for entry in entries)
    return tuple(ipaddress.ip_address(text) for text in texts)


def _judge(
    host: str, addresses: tuple[IpAddress, ...], allow_addresses: tuple[Network, ...]
) -> None:
    for address in addresses:
        if not may_reach(address, allow_addresses):
            raise Refused(
                "peer_address_refused",
                f"{printable(host)} leads to {address}, which is not a public address",
                hint=f"if that is meant, allow it: MOSAIC_ALLOW_ADDRESSES={address}",
            )


class Channel:
    """Connections to one destination under one TLS context; an async context manager."""

    def __init__(self, to: Destination, tls: ssl.SSLContext, timeouts: Timeouts) -> None:
        self._to, self._limits = to, timeouts
        self._http = httpx.AsyncClient(
            transport=_Pinned(to.addresses, tls)
            if to.proxy is None
            else proxy_transport(to.proxy, tls),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(timeouts.read_s, connect=timeouts.connect_s),
            headers={"Accept-Encoding": "identity", "User-Agent": "mosaic-federation"},
        )

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
        json: Any = None,  # noqa: ANN401 - any JSON value
    ) -> Response:
        """Send one request and return its answer, whatever its status; never a redirect's target.

        Raises:
            MosaicError: `peer_unreachable`, or `peer_wrong_answer` where it is too long.
        """
        host = self._to.host
        try:
            async with asyncio.timeout(self._limits.total_s):
                return await self._exchange(method, f"{self._to.base_url}{path}", headers, json)
        except TimeoutError:
            reason = f"no answer within {self._limits.total_s:g} s"
            raise unreachable(host, reason, self._to.hint) from None
        except (httpx.HTTPError, OSError) as error:  # OSError: TLS that breaks while it is read
            reason = _reason(error, self._to.proxy)
            raise unreachable(host, reason, self._to.hint) from None  # its cause holds the request

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        json: Any,  # noqa: ANN401 - any JSON value
    ) -> Response:
        async with self._http.stream(method, url, headers=headers, json=json) as response:
            try:
                body = await read_body(response.aiter_raw(), MAX_ANSWER)
            except BodyTooLarge:
                reason = f"its answer is larger than {MAX_ANSWER:,} octets"
                raise wrong_answer(reason) from None
            return Response(response.status_code, response.headers, body)


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


def unreachable(host: str, reason: str, hint: str = UNREACHABLE_HINT) -> Retry:
    """Return the error of a gateway that cannot be talked to."""
    return Retry(
        "peer_unreachable",
        f"the other gateway {printable(host)} cannot be reached: {reason}",
        hint=hint,
    )


def wrong_answer(reason: str) -> MosaicError:
    """Return the error of an answer that is not of the contract."""
    return Refused(
        "peer_wrong_answer",
        f"the other gateway answered wrongly: {reason}",
        hint="check that the invitation's host is a gateway of a version like this one",
    )


def _read_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme != "https" or not url.host or url.userinfo or url.query or url.fragment:
        raise NeedsEdit(
            "invitation_invalid",
            f"got {shown(url.copy_with(username=None, password=None, query=None, fragment=None))},"
            " expected https://host",
            hint="a gateway is reached by https alone; ask the grantor for the invitation",
        )
    return url


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
        return f"{'' if proxy is None else 'through the proxy: '}{text or 'no connection'}"
    return "the connection broke before the answer was whole"
