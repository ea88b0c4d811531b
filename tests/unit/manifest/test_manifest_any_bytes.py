"""Bytes and texts of every kind as manifests: the loader never crashes, and reads them one way."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.errors import InvalidManifests
from reconciler.manifest.load import load, load_scope
from reconciler.manifest.yaml.plain_reader import NAME, read_plain_documents
from reconciler.manifest.yaml.reader import read_documents
from tests.support.manifests.text import GRANT, PEER, loaded, source


def judge(content: bytes) -> None:
    """Load what may be anything; only `InvalidManifests` may come of it."""
    assert_same_without_places(content)
    try:
        load(source(a=content))
    except InvalidManifests as error:
        for each in error.problems:
            assert each.line >= 1
            assert each.column >= 1
            assert str(each).isprintable()


def assert_same_without_places(content: bytes) -> None:
    """Fail if a file that is read without places would be refused, or read as something else."""
    plain = read_plain_documents("a.yaml", content)
    if plain:
        documents = read_documents("a.yaml", content)
        assert repr([each.value for each in plain]) == repr([each.value for each in documents])
        assert not any(each.problems for each in documents)
        marks = [(each, each.values[NAME]) for each in plain if NAME in each.values]
        for each, mark in marks:
            assert documents[plain.index(each)].values.get(NAME, mark) == mark


@pytest.mark.parametrize(
    "text",
    [
        *(PEER.replace("beta", each) for each in ("&a beta", "*a", "!x beta", "!!str beta")),
        *(PEER.replace("name", each) for each in ("&a name", "!x name", "[name]")),
        PEER.replace("kind: Peer", "kind: Peer\nkind: Peer"),
        PEER.replace("{name: beta}", "&a {name: beta}"),
        PEER.replace("beta", "[" * 19 + "]" * 19),
        PEER + "--- &a\n",
        PEER + "---\n&a\n",
        PEER.replace("beta", "{at: 12:30}"),
    ],
)
def test_what_is_unusual_is_not_read_without_places(text: str) -> None:
    assert read_plain_documents("a.yaml", text.encode()) == []


@pytest.mark.parametrize("text", [PEER, GRANT, f"---\n{PEER}---\n---\n{GRANT}", f"\ufeff{PEER}"])
def test_what_is_usual_is_read_without_places(text: str) -> None:
    assert read_plain_documents("a.yaml", text.encode())
    assert_same_without_places(text.encode())


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_loader(content: bytes) -> None:
    judge(content)


@given(st.text(max_size=400))
def test_no_text_crashes_the_loader(text: str) -> None:
    judge(text.encode("utf-8", "surrogatepass"))
    try:
        load_scope(text.encode("utf-8", "ignore").decode(), "x")
    except InvalidManifests as error:
        assert error.problems  # noqa: PT017 - a text may be a scope


MARKS = "{}[]:,-?&*!|>'\"%@`#\n \t\\~ab0."


@settings(max_examples=300)
@given(st.text(MARKS, max_size=60), st.integers(0, len(GRANT)))
@example("?", len(GRANT))
@example("?", 250)
def test_no_yaml_marks_inside_a_manifest_crash_the_loader(text: str, place: int) -> None:
    judge((GRANT[:place] + text + GRANT[place:]).encode())


@given(st.integers(0, len(GRANT)))
def test_a_manifest_cut_anywhere_loses_no_more_than_its_last_digits(length: int) -> None:
    whole = loaded(a=GRANT, b=PEER)
    try:
        cut = loaded(a=GRANT[:length], b=PEER)
    except InvalidManifests:
        return
    left, full = cut.grants[0].spec, whole.grants[0].spec
    assert left.peer == full.peer
    assert left.scope.max_rows_per_query in (5, 50, 500)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner)
    ),
    max_leaves=10,
)


@example(1_000_000_000_000_000_001)
@given(JSON)
def test_json_is_read_as_what_it_says(value: object) -> None:
    text = json.dumps({"value": value})
    (document,) = read_documents("x", text.encode())
    if not document.problems:
        assert document.value == {"value": value}
    assert_same_without_places(text.encode())
