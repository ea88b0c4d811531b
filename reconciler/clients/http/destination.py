"""Where a URL that somebody else named leads: its addresses, looked up once, and judged.

Connections go to exactly these addresses: a name that resolves to something else a moment later
changes nothing. Through an HTTP proxy (CONNECT by name, and TLS from end to end) the proxy looks
the name up, so only its spelling can be judged. What a proxy sees is whom we call; the pin of the
other gateway's root keeps it from being anybody else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn

import httpx

from reconciler.clients.http.address_rules import is_host, is_local_name, literal_address, may_reach
from reconciler.core.model.origin import HTTPS_PORT
from reconciler.core.model.text import printable, shown, without_credentials
from reconciler.core.setting_values import ProxyRules
from reconciler.errors import NeedsEdit, Refused, Retry

if TYPE_CHECKING:
    from reconciler.clients.http.address_rules import IpAddress
    from reconciler.clients.http.connections import Timeouts
    from reconciler.core.setting_values import Network


UNREACHABLE_HINT: Final = "check the name, the port and the network between, then try again"
DIRECT: Final = ProxyRules()
PEER: Final = "the other gateway"


@dataclass(frozen=True, slots=True)
class Destination:
    """A base URL without a slash at its end, and the addresses that its host was found to have.

    There are none where it is reached through `proxy`, which looks the name up. `hint` is what to
    do where it cannot be reached, and `what` says in errors what it is.
    """

    base_url: str
    addresses: tuple[IpAddress, ...]
    proxy: httpx.Proxy | None = None
    hint: str = UNREACHABLE_HINT
    what: str = PEER

    @property
    def host(self) -> str:
        """The host as people write it, with its port."""
        return httpx.URL(self.base_url).netloc.decode()


async def find(
    base_url: str,
    allow_addresses: tuple[Network, ...],
    timeouts: Timeouts,
    rules: ProxyRules = DIRECT,
    what: str = PEER,
) -> Destination:
    """Resolve the host of an https URL and judge all of its addresses; or its name, for a proxy.

    `what` says in errors what is there.

    Raises:
        NeedsEdit: `invitation_invalid`: it is no https URL, or its host is not spelled plainly;
            `config_invalid`: no HTTP proxy.
        Refused: `peer_address_refused`: one of the addresses is not global, nor allowed; or a proxy
            would look up a name of this site.
        Retry: `peer_unreachable`: the name does not resolve.
    """
    url = _read_url(base_url)
    host, port = url.raw_host.decode(), url.port or HTTPS_PORT
    literal = literal_address(host)
    if literal is not None:
        _judge(url.host, (literal,), allow_addresses)
    if not is_host(host):
        raise _wrong_url(url)
    proxy = proxy_for(rules, host, port)
    if proxy is not None:
        if literal is None and is_local_name(host):
            _refuse_local_name(url.host)
        return Destination(
            str(url).rstrip("/"),
            (),
            proxy,
            f"check the proxy {proxy_name(proxy)}, then try again",
            what,
        )
    hint = UNREACHABLE_HINT + _unused_hint(rules)
    to = Destination(str(url).rstrip("/"), (), hint=hint, what=what)
    addresses = await _resolve(to, host, port, timeouts)
    _judge(url.host, addresses, allow_addresses)
    return replace(to, addresses=addresses)


async def _resolve(
    to: Destination, host: str, port: int, timeouts: Timeouts
) -> tuple[IpAddress, ...]:
    try:
        async with asyncio.timeout(timeouts.connect_s):
            entries = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        reason = f"its name did not resolve in {timeouts.connect_s:g} s"
        raise unreachable(to, reason, httpx.URL(to.base_url).host) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "its name cannot be looked up"
        named = httpx.URL(to.base_url).host
        raise unreachable(to, f"its name does not resolve: {reason}", named) from None
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
                hint=f"if this is intended, allow it: MOSAIC_ALLOW_ADDRESSES={address}",
            )


def _refuse_local_name(host: str) -> NoReturn:
    raise Refused(
        "peer_address_refused",
        f"{printable(host)} is a name of this site, which a proxy may take for a machine within it",
        hint="if this is intended, reach it directly: name it in NO_PROXY",
    )


def proxy_for(rules: ProxyRules, host: str, port: int) -> httpx.Proxy | None:
    """Return the proxy through which a host is reached, or None: it is reached directly.

    Raises:
        NeedsEdit: `config_invalid`: the variable names no HTTP proxy.
    """
    if not rules.used or rules.url is None or _is_bypassed(rules, host, port):
        return None
    try:
        proxy = httpx.Proxy(rules.url)
    except (ValueError, httpx.InvalidURL):
        proxy = None
    if proxy is None or proxy.url.scheme not in ("http", "https") or not proxy.url.host:
        raise NeedsEdit(
            "config_invalid",
            f"{rules.variable}: got {without_credentials(rules.url)!r}, expected http://host:port",
            hint="name an HTTP proxy, or reach peers directly: MOSAIC_PEER_PROXY=off",
        )
    return proxy


def _unused_hint(rules: ProxyRules) -> str:
    """Return what a hint adds where a proxy is named that peers are not reached through."""
    if rules.url is None or rules.used:
        return ""
    setting = "MOSAIC_PEER_PROXY=environment"
    return f"; a proxy is set ({rules.variable}), but not used for peers: {setting} uses it"


def proxy_name(proxy: httpx.Proxy) -> str:
    """Return the proxy as messages name it, without its credentials."""
    return f"{proxy.url.scheme}://{proxy.url.netloc.decode()}"


def _is_bypassed(rules: ProxyRules, host: str, port: int) -> bool:
    return any(_covers(entry.lower(), host.lower().rstrip("."), port) for entry in rules.bypass)


def _covers(entry: str, host: str, port: int) -> bool:
    """Tell whether an entry of NO_PROXY covers a host: `*`, a network, or a name with its own."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        pass
    name, colon, ending = entry.rpartition(":")
    if colon and ending.isdecimal():
        return int(ending) == port and _covers(name.strip("[]"), host, port)
    name = entry.removeprefix("*").removeprefix(".")
    return host == name or host.endswith(f".{name}")


def unreachable(to: Destination, reason: str, host: str = "") -> Retry:
    """Return the error of a destination that cannot be talked to; `host` names it without port."""
    return Retry(
        "peer_unreachable",
        f"{to.what} {printable(host or to.host)} cannot be reached: {reason}",
        hint=to.hint,
    )


def _read_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme != "https" or not url.host or url.userinfo or url.query or url.fragment:
        raise _wrong_url(url)
    return url


def _wrong_url(url: httpx.URL) -> NeedsEdit:
    plain = url.copy_with(username=None, password=None, query=None, fragment=None)
    return NeedsEdit(
        "invitation_invalid",
        f"got {shown(plain)}, expected https://host",
        hint="gateways are reached only by https; ask the grantor for the invitation",
    )
