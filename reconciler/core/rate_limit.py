"""How often somebody may call. Pure: the clock is an argument."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.core.setting_values import RateLimit

MAX_BUCKETS: Final = 10_000  # buckets; the one unused for longest is forgotten first


class RateLimiter:
    """A token bucket a key (an address, a grant): `per_s` in the long run, `burst` at once."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str, now_s: float, *, take: bool = True) -> float:
        """Return 0 if a request of the key is let in, or the seconds until one would be.

        `take` it from the bucket; otherwise only look.
        """
        if self._limit.per_s <= 0:
            return 0.0
        left, at = self._buckets.pop(key, (float(self._limit.burst), now_s))
        left = min(self._limit.burst, left + (now_s - at) * self._limit.per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._limit.per_s
        self._buckets[key] = (left - 1 if take and not wait_s else left, now_s)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return wait_s
