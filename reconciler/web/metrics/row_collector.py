"""The metrics of rows: read when somebody asks, at most every 15 s, and absent if unknown.

A read runs in a thread: a database that hangs holds up neither a scrape nor the end of the process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.errors import MosaicError
from reconciler.store.views.metrics import row_metrics
from reconciler.web.metrics import definitions as defined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from reconciler.store.db import Database, Tx
    from reconciler.store.drift.detector import DriftDetector
    from reconciler.store.views.metrics import RowMetrics
    from reconciler.web.metrics.definitions import Definition

    Samples = Iterable[tuple[tuple[str, ...], float]]

T = TypeVar("T")

READ_EVERY_S: Final = 15.0
ANSWER_S: Final = 4.0  # a scrape waits so long, and goes on without the rows
# Drift is judged by all rows and the audit log: with 10,000 grants, a core is taken for 20 ms.
CPU_SHARE: Final = 1 / 50

_log = logging.getLogger(__name__)


class RowCollector(Collector):
    """The rows of a database as metrics, and its drift; `refresh` before they are collected."""

    def __init__(self, database: Database, drift: DriftDetector) -> None:
        self._database = database
        self._numbers = CachedValue(lambda: self._read(row_metrics))
        self._drift = CachedValue(
            lambda: self._read(lambda tx: len(drift.drifted(tx))), earlier=True
        )
        self._collected: tuple[RowMetrics | None, int | None] = (None, None)

    async def refresh(self) -> None:
        """Read what is due; what cannot be read is absent."""
        numbers, drift = await asyncio.gather(self._numbers.value(), self._drift.value())
        self._collected = numbers, drift if numbers is not None else None

    def collect(self) -> Iterator[Metric]:
        """Yield what was read, for the registry."""
        numbers, drift = self._collected
        yield _family(defined.DATABASE_UP, [((), numbers is not None)])
        if numbers is not None:
            for definition, samples in _samples(numbers):
                yield _family(definition, samples)
        if drift is not None:
            yield _family(defined.DRIFTED, [((), drift)])

    def _read(self, view: Callable[[Tx], T]) -> T:
        with self._database.transaction() as tx:
            return view(tx)


class CachedValue(Generic[T]):
    """A value that is read at most every `READ_EVERY_S`, and seldom if that is costly.

    With `earlier`, the last value stands if the next one takes longer.
    """

    def __init__(self, read: Callable[[], T], *, earlier: bool = False) -> None:
        self._read = read
        self._earlier = earlier
        self._value: T | None = None
        self._due_s = 0.0
        self._reading: asyncio.Future[None] | None = None
        self._trouble = ""

    async def value(self) -> T | None:
        """Return the value after `ANSWER_S` at the latest; None if it cannot be read."""
        if self._reading is None and time.monotonic() >= self._due_s:
            self._begin()
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=ANSWER_S)
        return self._value if self._reading is None or self._earlier else None

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._reading = loop.create_future()

        def work() -> None:
            began_s = time.thread_time()
            value, trouble = None, ""
            try:
                value = self._read()
            except MosaicError as error:
                trouble = error.message
            except Exception as error:  # noqa: BLE001 - a defect here must not end all metrics
                trouble = f"{type(error).__name__}, an internal error"
                if trouble != self._trouble:
                    _log.exception("metrics: failed with an internal error")
            took_s = time.thread_time() - began_s
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._end, value, trouble, took_s)

        # not the loop's own threads: its end would wait for them
        threading.Thread(target=work, name="metrics", daemon=True).start()

    def _end(self, value: T | None, trouble: str, took_s: float) -> None:
        if trouble and trouble != self._trouble:  # once as long as it stays
            _log.warning("metrics: the rows cannot be read: %s", trouble)
        self._value, self._trouble = value, trouble
        self._due_s = time.monotonic() + max(READ_EVERY_S, took_s / CPU_SHARE)
        reading, self._reading = self._reading, None
        assert reading is not None
        reading.set_result(None)


def _samples(numbers: RowMetrics) -> Iterator[tuple[Definition, Samples]]:
    yield defined.PAUSED, [((), numbers.paused)]
    grants = defined.GRANTS.initial
    yield defined.GRANTS, [((status,), numbers.grants.get(status, 0)) for (status,) in grants]
    peers = defined.PEERS.initial
    yield (
        defined.PEERS,
        [((way, status), numbers.peers.get((way, status), 0)) for way, status in peers],
    )
    ending = sorted(numbers.ending.items())
    yield defined.ENDING, [((f"{days}d",), count) for days, count in ending]
    yield defined.HOLDS, [((), numbers.holds)]
    certificates = numbers.certificates
    yield defined.NOT_AFTER, [((each.peer,), each.not_after.timestamp()) for each in certificates]
    yield (
        defined.RENEW_AFTER,
        [((each.peer,), each.renew_after.timestamp()) for each in certificates],
    )
    yield defined.REVOCATIONS, [((), numbers.revocations_pending)]
    yield defined.OLDEST_REVOCATION, [((), numbers.revocation_oldest_s)]
    until = numbers.crl_next_update
    yield defined.CRL_NEXT_UPDATE, [((), until.timestamp())] if until is not None else []
    yield defined.THEFT_SIGNALS, [((), numbers.theft_signals)]
    yield defined.AUDIT_HEAD, [((), numbers.audit_head)]


def _family(definition: Definition, samples: Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(definition.name, definition.meaning, labels=definition.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
