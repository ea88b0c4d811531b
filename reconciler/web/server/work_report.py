"""What one process tells another of its work, so that one set of metrics counts that of both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from reconciler.core.telemetry import CaOutcome, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable


class ReportedTelemetry(Telemetry):
    """Hands what an endpoint does to `report`, as one list for each turn of the event loop."""

    def __init__(self, report: Callable[[list[Any]], None]) -> None:
        self._report = report
        self._work: list[Any] = []

    def request(self, route: str, status: str, duration_s: float) -> None:
        """Tell of an HTTP request."""
        self._add("request", route, status, duration_s)

    def enrollment(self, outcome: str) -> None:
        """Tell of a request to enroll."""
        self._add("enrollment", outcome)

    def ca_request(self, call: str, outcome: CaOutcome, duration_s: float) -> None:
        """Tell of a request to the CA."""
        self._add("ca_request", call, outcome, duration_s)

    def flush(self) -> None:
        """Report what was not reported yet."""
        if self._work:
            work, self._work = self._work, []
            self._report(work)

    def _add(self, *work: object) -> None:
        if not self._work:
            asyncio.get_running_loop().call_soon(self.flush)
        self._work.append(work)


def count_reported(work: list[Any], telemetry: Telemetry) -> None:
    """Count what another process reported."""
    for each in work:
        match each:
            case ["request", route, status, duration_s]:
                telemetry.request(route, status, duration_s)
            case ["enrollment", outcome]:
                telemetry.enrollment(outcome)
            case ["ca_request", call, outcome, duration_s]:
                telemetry.ca_request(call, CaOutcome(outcome), duration_s)
