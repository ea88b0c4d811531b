"""Selectors of labels: what kubectl selects, and no more."""

from __future__ import annotations

import pytest

from reconciler.core.labels import read_selector

EU = {"region": "eu", "tier": "gold"}


@pytest.mark.parametrize(
    ("text", "selects"),
    [
        ("region=eu", True),
        ("region==eu", True),
        (" region = eu ", True),
        ("region=us", False),
        ("region=", False),
        ("region!=eu", False),
        ("region!=us", True),
        ("zone!=a", True),
        ("region", True),
        ("zone", False),
        ("!zone", True),
        ("!region", False),
        ("region in (us, eu)", True),
        ("region in (us)", False),
        ("region notin (us,eu)", False),
        ("zone notin (a)", True),
        ("region=eu,tier=gold", True),
        ("region=eu,tier=silver", False),
        ("region in (us,eu),!zone,tier", True),
    ],
)
def test_a_selector_selects_what_all_its_requirements_hold_of(text: str, selects: bool) -> None:
    assert read_selector(text).selects(EU) is selects


@pytest.mark.parametrize(
    "text",
    ["", ",", "region=eu,", "=eu", "region=eu=us", "region in eu", "a b", "region in (a", "!"],
)
def test_what_is_no_selector_is_an_error_that_shows_one(text: str) -> None:
    with pytest.raises(ValueError, match="key=value"):
        read_selector(text)
