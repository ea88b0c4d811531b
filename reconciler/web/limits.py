"""What one endpoint serves at once and how often, in all and of each address.

Knows neither sockets nor HTTP: a listener asks for its connections, the middleware for its
requests. An address is an IPv4 address or an IPv6 site.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.core.rate_limit import RateLimiter
from reconciler.core.setting_values import LOOPBACK, RateLimit
from reconciler.errors import Retry
from reconciler.web.client_address import bucket_of, is_one_of
from reconciler.web.refusal_log import RefusalLog, RefusalReason
from reconciler.web.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.setting_values import Network

CONNECTION_RATE: Final = RateLimit(per_s=30, burst=200)  # of one address: a handshake costs 2 ms
REQUESTS_A_ROUND: Final = 2  # of the event loop
HANDSHAKES_A_ROUND: Final = 2
RESERVED: Final = 256  # descriptors for the database, the CA, files and programs


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many of each there may be at once: in all, and of one address."""

    connections: int = 2048  # of 65 KiB each, and more while an answer waits
    connections_each: int = 128
    handshakes: int = 512
    handshakes_each: int = 64
    requests: int = 256  # the pool and the CA let far fewer through at once
    requests_each: int = 64


def raise_descriptor_limit() -> int:
    """Let this process open as many descriptors as it may, and return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize


def capacity_of(descriptors: int) -> Capacity:
    """Return the capacity of a process that may open so many descriptors."""
    usable = max(descriptors - RESERVED, descriptors // 2)
    return Capacity(connections=min(Capacity().connections, usable))


class Quota:
    """At most `total` places at once, and of one client at most `each`.

    If all are taken, the client that holds most of them gives up its oldest to one that holds fewer
    (by two, so that they do not take it from each other in turn).
    """

    def __init__(self, total: int, each: int) -> None:
        self._total, self._each = total, each
        self._held: dict[str | None, dict[Lease, None]] = {}  # the oldest first
        self._used = 0

    def take(self, client: str | None) -> Lease | None:
        """Return a place, or None if none is left; without a client, only `total` counts."""
        held = len(self._held.get(client, ()))
        if client is not None and held >= self._each:
            return None
        if self._used >= self._total and not self._evict(held):
            return None
        self._used += 1
        lease = Lease(self, client)
        self._held.setdefault(client, {})[lease] = None
        return lease

    def holds(self, client: str) -> bool:
        """Tell whether a client has a place."""
        return client in self._held

    def free(self, lease: Lease) -> None:
        """Free a place, as a `Lease` does once."""
        self._used -= 1
        held = self._held[lease.client]
        del held[lease]
        if not held:
            del self._held[lease.client]

    def _evict(self, held: int) -> bool:
        most = max((each for client, each in self._held.items() if client), key=len, default={})
        oldest = next(iter(most), None)
        if oldest is None or oldest.evict is None or len(most) < held + 2:
            return False
        oldest.evict()
        oldest.give_back()
        return True


class Lease:
    """One place of a quota, until it is given back; `evict` ends what holds it."""

    def __init__(self, quota: Quota, client: str | None) -> None:
        self._quota: Quota | None = quota
        self.client = client
        self.evict: Callable[[], None] | None = None

    def give_back(self) -> None:
        """Free the place; again does nothing."""
        if self._quota is not None:
            self._quota.free(self)
            self._quota = None


class Admission:
    """A connection that was let in; `client` is who is limited, as the log names it."""

    def __init__(
        self, client: str, connection: Lease, handshake: Lease, refusals: RefusalLog
    ) -> None:
        self.client = client
        self._connection, self._handshake, self._refusals = connection, handshake, refusals

    def end_with(self, hang_up: Callable[[], object]) -> None:
        """Say how the connection is ended if its place goes to another client."""

        def evict() -> None:
            self._refusals.count(RefusalReason.EVICTED, self.client)
            hang_up()

        self._connection.evict = self._handshake.evict = evict

    def end_handshake(self) -> None:
        """Free the place of a handshake."""
        self._handshake.give_back()

    def give_back(self) -> None:
        """Free every place; again does nothing."""
        self._handshake.give_back()
        self._connection.give_back()


def connection_rate(requests: RateLimit) -> RateLimit:
    """Return how often an address may connect, if it may send so many requests: as often at least.

    Without a limit of requests there is none of connections.
    """
    if not requests.per_s:
        return requests
    burst = max(CONNECTION_RATE.burst, requests.burst)
    return RateLimit(max(CONNECTION_RATE.per_s, requests.per_s), burst)


class Limits:
    """The limits of one endpoint. What they refuse is counted in `refusals`.

    `trusted` networks are proxies: who connects from there counts in all, and not for itself,
    unless it names the client for whom it speaks.
    """

    def __init__(
        self, capacity: Capacity, rate: RateLimit, trusted: tuple[Network, ...] = ()
    ) -> None:
        self._trusted = trusted
        self._connections = Quota(capacity.connections, capacity.connections_each)
        self._handshakes = Quota(capacity.handshakes, capacity.handshakes_each)
        self._requests = Quota(capacity.requests, capacity.requests_each)
        self._connection_rate = RateLimiter(connection_rate(rate))
        self._request_rate = RateLimiter(rate)
        self._request_turns = Turns(REQUESTS_A_ROUND)
        self._handshake_turns = Turns(HANDSHAKES_A_ROUND)
        self.refusals = RefusalLog()

    def admit_connection(self, address: str) -> Admission | None:
        """Return the place of a new connection, or None: it is to be closed at once."""
        if not self.allows_connection(address):
            return None
        client = bucket_of(address)
        limited = None if is_one_of(address, self._trusted) else client
        connection = self._connections.take(limited)
        if connection is None:
            self.refusals.count(RefusalReason.CONNECTIONS, client)
            return None
        handshake = self._handshakes.take(limited)
        if handshake is None:
            connection.give_back()
            self.refusals.count(RefusalReason.HANDSHAKES, client)
            return None
        return Admission(client, connection, handshake, self.refusals)

    def allows_connection(self, address: str) -> bool:
        """Count a connection of the address, and tell whether it does not connect too often."""
        client = bucket_of(address)
        if is_one_of(address, self._trusted):
            return True
        if not self._connection_rate.wait_s(client, time.monotonic()):
            return True
        self.refusals.count(RefusalReason.CONNECTION_RATE, client)
        return False

    def holds_connection(self, client: str) -> bool:
        """Tell whether a client, as `bucket_of` names it, has a connection."""
        return self._connections.holds(client)

    def may_probe(self, address: str) -> bool:
        """Tell whether probes from there are not limited: a busy gateway is no dead one."""
        return is_one_of(address, LOOPBACK) or is_one_of(address, self._trusted)

    def admit_request(self, address: str) -> None:
        """Count a request of the address.

        Raises:
            Retry: `rate_limited`.
        """
        client = bucket_of(address)
        if wait_s := self._request_rate.wait_s(client, time.monotonic()):
            self.refusals.count(RefusalReason.REQUEST_RATE, client)
            raise Retry(
                "rate_limited",
                "too many requests from this address",
                retry_after=timedelta(seconds=wait_s),
            )

    def begin_request(self, address: str) -> Lease:
        """Return the place of a request in flight.

        Raises:
            Retry: `unavailable`.
        """
        client = bucket_of(address)
        lease = self._requests.take(None if is_one_of(address, self._trusted) else client)
        if lease is None:
            self.refusals.count(RefusalReason.REQUESTS, client)
            raise Retry("unavailable", "too many requests in flight")
        return lease

    async def request_turn(self, address: str) -> None:
        """Return when it is the address's turn to have a request worked on."""
        await self._request_turns.wait(bucket_of(address))

    async def handshake_turn(self, address: str) -> None:
        """Return when it is the address's turn to begin TLS."""
        await self._handshake_turns.wait(bucket_of(address))
