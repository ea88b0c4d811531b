"""The way to a peer through an HTTP proxy: CONNECT by name, and TLS from end to end.

The proxy resolves the name, so only the name can be judged. What it sees is whom we call; the pin
of the other gateway's root keeps it from being anybody else.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import httpx

from reconciler.core.model.text import without_credentials
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from reconciler.core.setting_values import ProxyRules


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


def unused_hint(rules: ProxyRules) -> str:
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
