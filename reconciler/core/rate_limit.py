"""How often an address may call, and how much a grant may ask for. Pure: the clock is an argument.

Limits keep one peer from taking the gateway or its CA from the others. The processes of one
endpoint tell each other what they let in of grants; others count for themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.setting_values import RateLimit
from reconciler.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


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
        left = self._left(key, now_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._limit.per_s
        self._keep(key, left - 1 if take and not wait_s else left, now_s)
        return wait_s

    def count(self, key: str, now_s: float) -> None:
        """Take one that was let in elsewhere: the bucket may owe as much as it can hold."""
        if self._limit.per_s > 0:
            left = max(self._left(key, now_s) - 1, -float(self._limit.burst))
            self._keep(key, left, now_s)

    def _left(self, key: str, now_s: float) -> float:
        left, at = self._buckets.pop(key, (float(self._limit.burst), now_s))
        return min(self._limit.burst, left + (now_s - at) * self._limit.per_s)

    def _keep(self, key: str, left: float, now_s: float) -> None:
        self._buckets[key] = (left, now_s)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)


CALLS: Final = RateLimit(1.0, 30)  # renewals and pickups of a grant
FAILURES: Final = RateLimit(1 / 60, 5)  # of a grant, at the CA; each leaves two audit records
PROBES: Final = RateLimit(1 / 8, 3)  # attempts in all, while the CA cannot be reached
CA, REACHED = "ca", "reached"


class GrantLimits:
    """The limits of every grant.

    `tell` is given what is let in here, for `count` of the other processes of an endpoint.
    """

    def __init__(self) -> None:
        self.tell: Callable[[str, str], None] = _nobody
        self._ca_reached = True
        self._limiters = {
            "call": RateLimiter(CALLS),
            "failure": RateLimiter(FAILURES),
            "probe": RateLimiter(PROBES),
        }

    @property
    def ca_reached(self) -> bool:
        """Whether the CA can be reached: false after a request that never left."""
        return self._ca_reached

    @ca_reached.setter
    def ca_reached(self, reached: bool) -> None:
        if reached != self._ca_reached:
            self._ca_reached = reached
            self.tell(CA, REACHED if reached else "")

    def count(self, kind: str, key: str, now_s: float) -> None:
        """Count what another process has told."""
        if kind == CA:
            self._ca_reached = key == REACHED
        else:
            self._limiters[kind].count(key, now_s)

    def admit_call(self, grant_id: UUID, *, live: bool, now_s: float) -> None:
        """Let a renewal or a pickup in, by a key that is `live` or one that has no certificate.

        The two are counted apart: who holds an old key cannot use up what the peer needs.

        Raises:
            Retry: `rate_limited`.
        """
        wait_s = self._take("call", f"{grant_id} {live}", now_s)
        _require(wait_s, "too many requests of this grant")

    def admit_attempt(self, grant_id: UUID, now_s: float) -> None:
        """Let an attempt to sign in.

        Raises:
            Retry: `rate_limited`: the grant's last ones failed; `ca_unavailable`: the CA is away.
        """
        wait_s = self._limiters["failure"].wait_s(str(grant_id), now_s, take=False)
        _require(wait_s, "the last attempts of this grant failed")
        if self.ca_reached:
            return
        if wait_s := self._take("probe", "", now_s):
            wait = timedelta(seconds=wait_s)
            raise Retry("ca_unavailable", "the CA cannot be reached", retry_after=wait)

    def note_failure(self, grant_id: UUID, now_s: float) -> None:
        """Count an attempt that the CA refused, or did not answer."""
        self._take("failure", str(grant_id), now_s)

    def _take(self, kind: str, key: str, now_s: float) -> float:
        wait_s = self._limiters[kind].wait_s(key, now_s)
        if not wait_s:
            self.tell(kind, key)
        return wait_s


def _nobody(_kind: str, _key: str) -> None:
    pass


def _require(wait_s: float, message: str) -> None:
    if wait_s:
        raise Retry("rate_limited", message, retry_after=timedelta(seconds=wait_s))
