"""Values as JavaScript sees them; test_trigger_beside_segments holds more of it beside a program in JavaScript."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.model.javascript import member, number_text, to_number, to_text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("", 0.0), (" \u2003\n", 0.0), (" 5 ", 5.0), ("+.5e1", 5.0), ("0x1F", 31.0), ("0b11", 3.0),
        ("-Infinity", -math.inf), (True, 1.0), (False, 0.0),
    ],
)  # fmt: skip
def test_a_text_is_the_number_that_it_spells(value: str | bool, number: float) -> None:
    assert to_number(value) == number


@pytest.mark.parametrize("value", ["5 apples", "1_000", "inf", "-0x10", "nan", "\u0665", None])
def test_what_spells_no_number_is_not_a_number(value: str | None) -> None:
    assert math.isnan(to_number(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "undefined"), (True, "true"), (math.nan, "NaN"), (-math.inf, "-Infinity"), (-0.0, "0"), (1e21, "1e+21")],
)
def test_a_value_is_the_text_that_is_printed(value: float | None, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("value", "key", "found"),
    [
        ({"a": 1}, "a", 1), ({"a": 1}, "length", None), ([7, 8], "1", 8), ([7, 8], "01", None), ([7, 8], "2", None),
        ([7, 8], "1" * 5_000, None), ([7, 8], "length", 2),
        ("a\U0001f600", "length", 3), ("abc", "1", "b"), (5, "a", None), (None, "a", None),
    ],
)  # fmt: skip
def test_members_are_those_of_objects_lists_and_texts(value: Any, key: str, found: Any) -> None:
    assert member(value, key) == found


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_number_reads_back_as_itself(value: float) -> None:
    printed = number_text(value)
    assert float(printed) == value
    assert math.copysign(1, float(printed)) == (math.copysign(1, value) if value else 1)
    assert ("e" in printed) == (value != 0 and not 1e-6 <= abs(value) < 1e21)
