"""What a process tells of its own work: calls that whoever measures it takes, and others ignore."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class CaOutcome(StrEnum):
    """How a request to the CA ended."""

    OK = "ok"
    REFUSED = "refused"  # 4xx
    UNAVAILABLE = "unavailable"  # 5xx, no whole answer, or never sent


class PassResult(StrEnum):
    """What a pass of the loop came to."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Telemetry:
    """The work of a process, told as it ends. This one is for where nobody measures.

    A label takes a value of a closed set, the name of a peer, or a code of `OUTCOMES`.
    """

    def request(self, route: str, status: str, duration_s: float) -> None:
        """Tell of an HTTP request; `route` is a path without what the client chose."""

    def enrollment(self, outcome: str) -> None:
        """Tell of a request to enroll: `issued`, or the code of its problem."""

    def ca_request(self, call: str, outcome: CaOutcome, duration_s: float) -> None:
        """Tell of a request to the CA."""

    def authority_decision(self, code: str) -> None:
        """Tell of an answer of `/authorize`: `allowed`, or the code of its problem."""

    def reconcile_pass(self, result: PassResult, code: str, duration_s: float) -> None:
        """Tell of a pass of the loop; `code` is empty unless it failed."""

    def renewal_failure(self, peer: str, code: str) -> None:
        """Tell of a renewal at an outbound peer that failed."""


SILENT: Final = Telemetry()
