"""JSON as JavaScript prints it: cases from ECMA-262 and from JSON.stringify itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.destinations.javascript import stringify

NUMBERS = [
    ("0", "0"), ("-0", "0"), ("-0.0", "0"), ("1", "1"), ("1.0", "1"), ("-1.0", "-1"), ("39.95", "39.95"),
    ("1.50", "1.5"), ("1E5", "100000"), ("1e-6", "0.000001"), ("0.0000012", "0.0000012"), ("1e-7", "1e-7"),
    ("1.5e-10", "1.5e-10"), ("0.1", "0.1"), ("1e16", "10000000000000000"), ("1e20", "100000000000000000000"),
    ("123456789012345680000", "123456789012345680000"), ("1e21", "1e+21"),
    ("1.25e22", "1.25e+22"), ("-1e21", "-1e+21"),
    ("5e-324", "5e-324"), ("1.7976931348623157e308", "1.7976931348623157e+308"), ("0.30000000000000004",) * 2,
    ("9007199254740991", "9007199254740991"), ("9007199254740993", "9007199254740992"),
    ("12345678901234567890", "12345678901234567000"), ("123e-20", "1.23e-18"), ("4.35", "4.35"), ("100.0", "100"),
    ("-12345678901234567890123", "-1.2345678901234568e+22"), ("1" + "0" * 400, "null"),
]  # fmt: skip


def through(text: str) -> str:
    """What becomes of a JSON object."""
    return stringify(msgspec.json.decode(text)).decode()


@pytest.mark.parametrize(("written", "printed"), NUMBERS)
def test_numbers_are_printed_as_doubles(written: str, printed: str) -> None:
    for around in ('{"n":N}', '{"a":[N]}', '{"a":[1,{"n":N}],"b":2}'):
        assert through(around.replace("N", written)) == around.replace("N", printed)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ('{"b":1,"a":2}', '{"b":1,"a":2}'),
        ('{"b":1,"2":2,"10":3,"1":4,"01":5}', '{"1":4,"2":2,"10":3,"b":1,"01":5}'),
        ('{"a":1,"0":2}', '{"0":2,"a":1}'),
        ('{"a":1,"4294967294":2,"4294967295":3,"b":4}', '{"4294967294":2,"a":1,"4294967295":3,"b":4}'),
        ('{"x":{"b":1,"7":2}}', '{"x":{"7":2,"b":1}}'),
        ('{"a":1,"b":2,"a":3}', '{"a":3,"b":2}'),
        ('{"-1":1,"1.5":2,"":3}', '{"-1":1,"1.5":2,"":3}'),
    ],
)
def test_keys_that_look_like_indexes_come_first(written: str, printed: str) -> None:
    assert through(written) == printed


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ('{ "a" : [ 1 , true , null ] }', '{"a":[1,true,null]}'),
        ('{"a":"\\u00e9\\ud83d\\ude00"}', '{"a":"é😀"}'),
        ('{"a":"\\/ \\u2028 \\u007f"}', '{"a":"/ \u2028 \x7f"}'),
        ('{"a":"\\u0008\\u0009\\u000a\\u000c\\u000d"}', '{"a":"\\b\\t\\n\\f\\r"}'),
        ('{"a":"\\u001F\\u0000\\"\\\\"}', '{"a":"\\u001f\\u0000\\"\\\\"}'),
        ('{"a":"<script>&\'"}', '{"a":"<script>&\'"}'),
        ('{"a":"1.0, 5e3] 12345678901234567"}', '{"a":"1.0, 5e3] 12345678901234567"}'),
    ],
)
def test_text_is_escaped_no_more_than_needed(written: str, printed: str) -> None:
    assert through(written) == printed


def test_what_cannot_be_walked_stays_as_it_is() -> None:
    deep: dict[str, Any] = {"n": 1.0}
    for _ in range(900):
        deep = {"a": deep}
    assert stringify(deep).endswith(b"}" * 900)


KEYS = st.text(max_size=3) | st.from_regex(r"[0-9]{1,3}", fullmatch=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=3)


@given(OBJECTS)
def test_printing_what_was_printed_changes_nothing(value: dict[str, Any]) -> None:
    printed = stringify(value)
    assert stringify(msgspec.json.decode(printed)) == printed


@given(OBJECTS)
def test_only_numbers_beyond_a_double_change_their_value(value: dict[str, Any]) -> None:
    as_doubles = json.loads(json.dumps(value), parse_int=_double)
    assert json.loads(stringify(value), parse_int=_double) == as_doubles


def _double(digits: str) -> float | None:
    try:
        return float(int(digits))
    except OverflowError:
        return None
