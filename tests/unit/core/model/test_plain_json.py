"""Plain values have one canonical JSON, however it is made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.canonical_json import canonical_json, plain_json

texts = st.text(st.characters())  # with surrogates alone, which UTF-8 does not have
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(plain_values)
def test_plain_json_is_canonical_json(value: object) -> None:
    assert plain_json(value) == canonical_json(value)
