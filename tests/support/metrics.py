"""What `/metrics` prints, as values."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from reconciler.web.metrics.registry import Metrics

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def samples(text: bytes | str) -> Samples:
    """Return the value of each series, by name and labels."""
    series: Samples = {}
    for family in text_string_to_metric_families(text if isinstance(text, str) else text.decode()):
        for each in family.samples:
            series.setdefault(each.name, {})[tuple(sorted(each.labels.items()))] = each.value
    return series


def value(series: Samples, name: str, **labels: str) -> float | None:
    return series.get(name, {}).get(tuple(sorted(labels.items())))


def read(metrics: Metrics) -> Samples:
    return samples(asyncio.run(metrics.text()))
