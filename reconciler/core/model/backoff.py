"""How long to wait before what failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta

MAX_DOUBLINGS: Final = 16  # more would pass the largest timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that begin with `first` and double with each failure, until they reach `last`."""

    first: timedelta
    last: timedelta

    def wait(self, failures: int, jitter: float = 0.0) -> timedelta:
        """Return the wait after so many earlier failures; none gives `first`.

        `jitter`, from 0 to 1, takes up to a half off, so that replicas do not retry at once.
        """
        longest: timedelta = min(self.first * 2 ** min(failures, MAX_DOUBLINGS), self.last)
        return longest * (1 - jitter / 2)
