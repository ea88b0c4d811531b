"""Globs of trust rules, against a slow oracle, and how long the worst of them take."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.core.trust.globs import matches

GLOBS = st.lists(st.sampled_from(["**/", "**", "*", "?", "/", "a", "b", ".", "\n"]), max_size=7)
PATHS = st.text("ab/.\n", max_size=8)


def oracle(glob: str, path: str) -> bool:
    """Match by backtracking, which is short where both are."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern = "".join(meaning.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(pattern, path, re.DOTALL) is not None


@given(GLOBS, PATHS)
@example(["**/", "**/", "a"], "a")
@example(["*", "**/", "a"], "b/a")
@example(["a", "**/", "b"], "ab")
@example(["**", "**/"], "a")
@example(["**/", "*", "/"], "a/")
def test_a_glob_matches_what_the_oracle_says(parts: list[str], path: str) -> None:
    glob = "".join(parts)
    assert matches(glob, path) is oracle(glob, path)


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("manifests/orders/**", "manifests/orders/a/b.yaml", True),
        ("manifests/orders/**", "manifests/orders", False),
        ("manifests/*.yaml", "manifests/a/b.yaml", False),
        ("**/a.yaml", "a.yaml", True),
        ("**/a.yaml", "x/y/a.yaml", True),
        ("**/a.yaml", "xa.yaml", False),
        ("m/?.yaml", "m/ü.yaml", True),
        ("m/[ab].yaml", "m/a.yaml", False),
        ("", "", True),
    ],
)
def test_stars_cross_folders_only_in_pairs(glob: str, path: str, *, expected: bool) -> None:
    assert matches(glob, path) is expected


@pytest.mark.parametrize(
    "glob", ["**/" * 80 + "x", "**/a" * 60 + "x", "*a" * 120, "**a" * 80, "*" * 250 + "x"]
)
def test_the_worst_glob_takes_milliseconds_over_fifty_long_paths(glob: str) -> None:
    paths = [f"{'a/' * 100}{each}" for each in range(50)]
    began = time.process_time()
    assert not any(matches(glob, path) for path in paths)
    assert time.process_time() - began < 1  # by backtracking, one of them takes longer than a day
