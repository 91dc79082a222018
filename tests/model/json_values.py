"""Strategies for JSON values and events, odd ones included."""

from typing import Any

from hypothesis import strategies as st

NAMES = ["type", "event", "userId", "properties", "context", "a", "b", "a b", "a.b", "", "ア"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**310),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["track", "Order Completed", "true", "false", "5", "1e3", "[", "*", "\ud800"]),
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)
