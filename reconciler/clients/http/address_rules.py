"""Which addresses a name that somebody else chose may lead to: those that are surely global.

An IPv6 address that stands for an IPv4 address is judged by that one where hosts and NAT64 treat
it so, and refused in every other form: what leads out of such a form depends on the network.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.setting_values import Network

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's registries of special-purpose addresses (RFC 6890), those that are not global or may not be
_SPECIAL_IPV4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network, RFC 791
            "10.0.0.0/8",  # private, RFC 1918
            "100.64.0.0/10",  # shared by a provider's customers, RFC 6598
            "127.0.0.0/8",  # loopback, RFC 1122
            "168.63.129.16/32",  # the host of an Azure machine, in every network of Azure
            "169.254.0.0/16",  # link-local, RFC 3927
            "172.16.0.0/12",  # private, RFC 1918
            "192.0.0.0/24",  # protocol assignments, RFC 6890
            "192.0.2.0/24",  # documentation, RFC 5737
            "192.88.99.0/24",  # relays of 6to4, RFC 7526
            "192.168.0.0/16",  # private, RFC 1918
            "198.18.0.0/15",  # benchmarks, RFC 2544
            "198.51.100.0/24",  # documentation, RFC 5737
            "203.0.113.0/24",  # documentation, RFC 5737
            "224.0.0.0/3",  # multicast, RFC 5771; reserved, RFC 1112; broadcast
        ),
    )
)
_UNICAST_IPV6: Final = ipaddress.IPv6Network("2000::/3")  # all that is global unicast, RFC 4291
_SPECIAL_IPV6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments, RFC 2928: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation, RFC 3849
            "2002::/16",  # 6to4, RFC 3056: an IPv4 address follows
            "3ffe::/16",  # 6bone, RFC 3701: returned
            "3fff::/20",  # documentation, RFC 9637
        ),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 2.1: an IPv4 address at its end
_ISATAP: Final = frozenset((0x0000_5EFE, 0x0200_5EFE))  # RFC 5214 6.1: an IPv4 address follows

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII | re.IGNORECASE)
# RFC 6761 6.3, RFC 6762, RFC 8375; `.internal` is reserved by ICANN, `.localdomain` by habit
_LOCAL_NAMES: Final = re.compile(
    r"(?:.*\.)?(?:localhost|localdomain|local|internal|home\.arpa)|[^.]*", re.IGNORECASE
)


def may_reach(address: IpAddress, allow_addresses: tuple[Network, ...]) -> bool:
    """Tell whether an address is surely global, or allowed.

    A network that is allowed holds for the IPv4 addresses in it as IPv6 writes them, too.
    """
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    judged = address if mapped is None else mapped
    if any(each in network for network in allow_addresses for each in (address, judged)):
        return True
    return _is_global(judged)


def is_host(host: str) -> bool:
    """Tell whether a host is an address or a name in its plain spelling.

    What only some parsers read as an address is neither: `127.1`, `%31`, `0177.0.0.1`.
    """
    if (address := _as_address(host)) is not None:
        return address.version == 6 or str(address) == host
    labels = host.removesuffix(".").split(".")
    return all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])


def literal_address(host: str) -> IpAddress | None:
    """Return the address that a host spells, or None for a name; `localhost` is 127.0.0.1.

    The old spellings that resolvers take for IPv4 count too: `127.1`, `0x7f000001`.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 6.3
        return ipaddress.IPv4Address("127.0.0.1")
    return _as_address(host)


def is_local_name(host: str) -> bool:
    """Tell whether a name is one of this machine's or this site's, by how it is spelled."""
    return _LOCAL_NAMES.fullmatch(host.rstrip(".")) is not None


def _as_address(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    name = host.rstrip(".").lower()
    if not all(map(_NUMBER.fullmatch, name.split("."))):  # inet_aton(3) ignores what follows
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


def _is_global(address: IpAddress) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not _within(address, _SPECIAL_IPV4)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return _is_global(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _UNICAST_IPV6 or _within(address, _SPECIAL_IPV6) or not address.is_global:
        return False
    isatap = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
    return not isatap or _is_global(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))


def _within(address: IpAddress, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
