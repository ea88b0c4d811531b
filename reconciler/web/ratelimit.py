"""Who calls, and how often an address may. Pure: the clock is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.values import Network, RateLimit

MAX_ADDRESSES: Final = 10_000  # buckets; the one unused for longest is forgotten first
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


class RateLimiter:
    """A token bucket an address: `per_s` in the long run, `burst` at once."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> float:
        """Take one request of the address; return 0, or the seconds until one would be let in."""
        if self._limit.per_s <= 0:
            return 0.0
        key = bucket_of(address)
        left, at = self._buckets.pop(key, (float(self._limit.burst), now_s))
        left = min(self._limit.burst, left + (now_s - at) * self._limit.per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._limit.per_s
        self._buckets[key] = (left if wait_s else left - 1, now_s)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait_s


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
