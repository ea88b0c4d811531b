"""The address of a client, as it is logged and limited."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.core.setting_values import Network

IPV6_SITE: Final = 64  # bits: one site's share (RFC 6177), so its hosts count as one

_UNKNOWN: Final = "unknown"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(peer: str | None) -> str:
    """Return the address of a client that a connection, or a PROXY header before it, names."""
    address = _parse(peer or "")
    return _UNKNOWN if address is None else str(address)


def is_one_of(peer: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address, as a socket names it, is in one of the networks."""
    address = _parse(peer)
    return address is not None and any(address in network for network in networks)


def bucket_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, an IPv6 site."""
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
