"""How often an address may call. Pure: the clock is an argument."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from reconciler.web.client_address import bucket_of

if TYPE_CHECKING:
    from reconciler.core.setting_values import RateLimit

MAX_ADDRESSES: Final = 10_000  # buckets; the one unused for longest is forgotten first


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
