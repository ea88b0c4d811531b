"""Which addresses a name that somebody else chose may lead to."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.core.setting_values import Network

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 2.1: an IPv4 address inside


def may_reach(address: IpAddress, allow_addresses: tuple[Network, ...]) -> bool:
    """Tell whether an address is global (RFC 6890) or allowed; what it embeds must be, too."""
    if any(address in network for network in allow_addresses):
        return True
    embedded = _embedded(address)
    if embedded is not None:
        return may_reach(embedded, allow_addresses)
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not address.is_multicast and not site_local


def literal_address(host: str) -> IpAddress | None:
    """Return the address that a host spells, or None for a name; `localhost` is 127.0.0.1.

    The old spellings that resolvers take for IPv4 count too: `127.1`, `0x7f000001`.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 6.3
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return None


def _embedded(address: IpAddress) -> IpAddress | None:
    """Return the IPv4 address that an IPv6 address leads to, or None."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
