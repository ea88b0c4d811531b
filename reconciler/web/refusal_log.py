"""What the endpoint refuses and from where, as one warning a minute, however much it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextvars import Context
from enum import StrEnum
from typing import Final

from reconciler.core.rate_limit import RateLimiter
from reconciler.core.setting_values import RateLimit

FIRST_S: Final = 1.0  # from the first refusal to the warning: then it has a number to tell
INTERVAL_S: Final = 60.0
MAX_CLIENTS: Final = 1_000  # per reason; the others are counted as one
SHOWN: Final = 3  # clients of a reason that are named
LINES: Final = RateLimit(per_s=5, burst=100)  # of each kind

_OTHERS: Final = "others"

_log = logging.getLogger(__name__)


class RefusalReason(StrEnum):
    """Why something was refused or ended, as the warning says it."""

    CONNECTIONS = "connections above the limit"
    CONNECTION_RATE = "connections too often"
    HANDSHAKES = "unfinished TLS handshakes above the limit"
    REQUESTS = "requests in flight above the limit"
    REQUEST_RATE = "requests too often"
    EVICTED = "connections closed in favour of other addresses"
    SLOW_REQUEST = "requests that did not arrive in time"
    UNREAD_ANSWER = "answers that were not read in time"
    SYNTAX = "what is not HTTP/1.1"
    NOT_LOGGED = "requests not logged one by one"


class RefusalLog:
    """Counts refusals, and warns of them once a minute as long as there are any."""

    def __init__(self) -> None:
        self._counts: dict[RefusalReason, Counter[str]] = {}
        self._since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._lines = RateLimiter(LINES)

    def count(self, reason: RefusalReason, client: str) -> None:
        """Count one refusal; only within an event loop, which warns of it."""
        clients = self._counts.setdefault(reason, Counter())
        clients[client if client in clients or len(clients) < MAX_CLIENTS else _OTHERS] += 1
        if self._timer is None:
            self._since_s = time.monotonic()
            self._warn_in(FIRST_S)

    def allows_line(self, kind: str, client: str) -> bool:
        """Tell whether a line of this kind may be logged for its own; else it is counted."""
        if self._lines.wait_s(kind, time.monotonic()) == 0:
            return True
        self.count(RefusalReason.NOT_LOGGED, client)
        return False

    def close(self) -> None:
        """Warn of what was not told yet; nothing is counted afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._warn()
        if self._timer is not None:
            self._timer.cancel()

    def _warn(self) -> None:
        if not self._counts:
            self._timer = None
            return
        seconds = max(1, round(time.monotonic() - self._since_s))
        _log.warning("refused within %d s: %s", seconds, self._summary())
        self._counts.clear()
        self._since_s = time.monotonic()
        self._warn_in(INTERVAL_S)

    def _warn_in(self, seconds: float) -> None:
        # in a context of its own: what is counted is not only of the request that is served now
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._warn, context=Context())

    def _summary(self) -> str:
        return "; ".join(
            f"{reason} ({_of(clients)})" for reason, clients in sorted(self._counts.items())
        )


def _of(clients: Counter[str]) -> str:
    shown = [f"{count:,} of {client}" for client, count in clients.most_common(SHOWN)]
    if rest := clients.total() - sum(count for _, count in clients.most_common(SHOWN)):
        shown.append(f"{rest:,} of {len(clients) - SHOWN:,} other addresses")
    return ", ".join(shown)
