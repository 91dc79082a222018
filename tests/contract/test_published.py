"""The comparison with published bodies finds every kind of difference."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contract.published import Added, Anything, Many, Number, Otherwise, Sometimes, Withheld, differences

BODY = {
    "id": re.compile("[a-z]+"),
    "count": Number,
    "enabled": True,
    "plan": None,
    "labels": Many({"key": str}, at_least=1),
    "pair": [str, bool],
    "extra": Added(str, "declared"),
    "gone": Withheld("not declared"),
    "status": Otherwise("SUCCESS", "the only value declared"),
    "mark": Sometimes(str),
    "default": Anything,
}
REPLY: dict[str, Any] = {
    "id": "abc",
    "count": 1,
    "enabled": True,
    "plan": None,
    "labels": [{"key": "a"}, {"key": "b"}],
    "pair": ["a", False],
    "extra": "x",
    "status": "SUCCESS",
    "default": {},
}


@pytest.mark.parametrize("mark", [{}, {"mark": ""}])
def test_a_body_as_published_has_no_differences(mark: dict[str, str]) -> None:
    assert differences(BODY, REPLY | mark) == []


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"id": "ABC"}, "data.id"),
        ({"id": 1}, "data.id"),
        ({"count": "1"}, "data.count"),
        ({"count": True}, "data.count"),
        ({"enabled": 1}, "data.enabled"),
        ({"enabled": False}, "data.enabled"),
        ({"plan": ""}, "data.plan"),
        ({"labels": []}, "data.labels"),
        ({"labels": None}, "data.labels"),
        ({"labels": [{"key": "a"}, {"key": None}]}, "data.labels[1].key"),
        ({"labels": [{"key": "a", "value": "b"}]}, "data.labels[0].value"),
        ({"labels": [{}]}, "data.labels[0].key"),
        ({"labels": ["a"]}, "data.labels[0]"),
        ({"pair": ["a"]}, "data.pair"),
        ({"pair": ["a", "b"]}, "data.pair[1]"),
        ({"extra": 1}, "data.extra"),
        ({"gone": "x"}, "data.gone"),
        ({"status": "CONNECTED"}, "data.status"),
        ({"default": None}, "data.default"),
        ({"mark": None}, "data.mark"),
        ({"other": 1}, "data.other"),
    ],
)
def test_what_differs_is_named_with_its_place(changed: dict[str, Any], place: str) -> None:
    (line,) = differences(BODY, REPLY | changed)
    assert line.startswith(f"{place}: ")


@pytest.mark.parametrize("key", sorted(REPLY))
def test_a_key_that_is_missing_is_named(key: str) -> None:
    reply = {name: value for name, value in REPLY.items() if name != key}
    assert differences(BODY, reply) == [f"data.{key}: is missing"]
