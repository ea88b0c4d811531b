"""The metrics of one process: what its parts tell of, and what its rows say, as Prometheus text."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from reconciler.core.telemetry import PassResult, Telemetry
from reconciler.packaged_files import built_commit
from reconciler.web.metrics import definitions as defined
from reconciler.web.metrics.definitions import DEFINITIONS, PARTS, MetricType, Part
from reconciler.web.metrics.row_collector import RowCollector

if TYPE_CHECKING:
    from reconciler.core.telemetry import CaOutcome
    from reconciler.store.db import Database
    from reconciler.store.drift.detector import DriftDetector
    from reconciler.web.metrics.definitions import Definition

    Instrument = Counter | Gauge | Histogram

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
DISTRIBUTION: Final = "mosaic-federation"

# a series more for each counter, which no rule needs
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations


class Metrics(Telemetry):
    """The metrics of a process that runs a verb; of its rows, once they are given."""

    def __init__(self, verb: str) -> None:
        self._registry = CollectorRegistry()
        self._instruments = {
            each.name: _instrument(each, self._registry)
            for each in DEFINITIONS
            if each.part in PARTS[verb] and each.part is not Part.ROWS
        }
        # `labels` of the library takes a lock, and longer than the counting
        self._known: dict[tuple[str, tuple[str, ...]], Instrument] = {}
        self._rows: RowCollector | None = None
        ProcessCollector(registry=self._registry)
        version = metadata.version(DISTRIBUTION)
        labels = (version, built_commit() or "", platform.python_version())
        self._gauge(defined.BUILD_INFO, *labels).set(1)

    def add_rows(self, database: Database, drift: DriftDetector) -> None:
        """Tell what the rows of a database say too."""
        self._rows = RowCollector(database, drift)
        self._registry.register(self._rows)

    async def refresh(self) -> None:
        """Read what is due of the rows."""
        if self._rows is not None:
            await self._rows.refresh()

    async def text(self) -> bytes:
        """Return all of it in the text format of Prometheus."""
        await self.refresh()
        return generate_latest(self._registry)

    def request(self, route: str, status: str, duration_s: float) -> None:
        """Count an HTTP request."""
        self._count(defined.REQUESTS, route, status)
        self._observe(defined.REQUEST_DURATION, duration_s)

    def enrollment(self, outcome: str) -> None:
        """Count a request to enroll."""
        self._count(defined.ENROLLMENTS, outcome)

    def ca_request(self, call: str, outcome: CaOutcome, duration_s: float) -> None:
        """Count a request to the CA."""
        self._observe(defined.CA_DURATION, duration_s, call, outcome)

    def authority_decision(self, code: str) -> None:
        """Count an answer of `/authorize`."""
        self._count(defined.DECISIONS, code)

    def reconcile_pass(self, result: PassResult, code: str, duration_s: float) -> None:
        """Count a pass of the loop."""
        self._count(defined.PASSES, result, code)
        self._observe(defined.PASS_DURATION, duration_s)
        if result is not PassResult.FAILED:
            self._gauge(defined.LAST_SUCCESS).set(time.time())

    def renewal_failure(self, peer: str, code: str) -> None:
        """Count a renewal that failed."""
        self._count(defined.RENEWAL_FAILURES, peer, code)

    def _count(self, definition: Definition, *labels: str) -> None:
        counter = self._series(definition, labels)
        assert isinstance(counter, Counter)
        counter.inc()

    def _gauge(self, definition: Definition, *labels: str) -> Gauge:
        gauge = self._series(definition, labels)
        assert isinstance(gauge, Gauge)
        return gauge

    def _observe(self, definition: Definition, duration_s: float, *labels: str) -> None:
        histogram = self._series(definition, labels)
        assert isinstance(histogram, Histogram)
        histogram.observe(duration_s)

    def _series(self, definition: Definition, labels: tuple[str, ...]) -> Instrument:
        series = self._known.get((definition.name, labels))
        if series is None:
            instrument = self._instruments[definition.name]
            series = instrument.labels(*labels) if labels else instrument
            self._known[definition.name, labels] = series
        return series


def _instrument(definition: Definition, registry: CollectorRegistry) -> Instrument:
    name, meaning, labels = definition.name, definition.meaning, definition.labels
    instrument: Instrument
    match definition.kind:
        case MetricType.COUNTER:
            instrument = Counter(name, meaning, labels, registry=registry)
        case MetricType.GAUGE:
            instrument = Gauge(name, meaning, labels, registry=registry)
        case MetricType.HISTOGRAM:
            buckets = definition.buckets
            instrument = Histogram(name, meaning, labels, registry=registry, buckets=buckets)
    for values in definition.initial:
        instrument.labels(*values)
    return instrument
