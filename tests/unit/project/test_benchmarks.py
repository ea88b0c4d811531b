"""The benchmarks that need no server end, and measure what they name; the sizes are small here."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.mark.parametrize("subject", ["manifests", "repositories"])
def test_a_benchmark_ends(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module(f"benchmarks.{subject}")
    monkeypatch.setattr(module, "GRANTS", 5)
    figures = [figure.as_json() for figure in module.figures()]
    assert figures
    assert all(figure["ratio"] > 0 for figure in figures)
