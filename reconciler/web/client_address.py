"""Who calls: the address of a client, behind proxies or not, and what is counted as one of them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.settings import Network

IPV6_SITE: Final = 64  # bits: one site's share (RFC 6177), so its hosts count as one

_UNKNOWN: Final = "unknown"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: tuple[Network, ...]
) -> str:
    """Return the address of the client.

    It is the connection's, unless that is a trusted proxy's: then the rightmost one of
    X-Forwarded-For that is not trusted. What stands further left is the client's own word.
    """
    found = _parse(peer or "")
    if found is None:
        return _UNKNOWN
    hops = [hop for line in forwarded_for for hop in line.split(",")]
    while _is_in(found, trusted) and hops:
        hop = _parse(hops.pop())
        if hop is None:
            break
        found = hop
    return str(found)


def is_one_of(peer: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address, as a socket names it, is in one of the networks."""
    found = _parse(peer)
    return found is not None and _is_in(found, networks)


def bucket_of(address: str) -> str:
    """Return what is counted as one: an IPv4 address, an IPv6 site."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed), IPV6_SITE), strict=False))
    return address


def _parse(text: str) -> _Address | None:
    try:
        parsed = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _is_in(address: _Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
