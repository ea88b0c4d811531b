"""Plain values have one canonical JSON, however it is made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model.spec import canonical_json, plain_json

texts = st.text(st.characters(exclude_categories=["Cs"]))
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(plain_values)
def test_it_is_that_of_any_value(value: object) -> None:
    assert plain_json(value) == canonical_json(value)
