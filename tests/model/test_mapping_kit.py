"""What the mapping kit refuses, each with its path. `test_mapping_kit_beside_segments` holds it beside Segment's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from mainstem.model import mapping_kit
from model.json_values import objects

PATH = {"@path": "$.properties.email"}
ACCEPTED: list[Any] = [
    "text",
    5,
    True,
    None,
    [],
    {},
    [PATH, "x", {"nested": PATH}],
    {"nested": {"deeper": [1, {"a": PATH}]}},
    PATH,
    {"@path": {"@if": {"exists": PATH, "then": "$.a", "else": "$.b"}}},
    PATH | {"_metadata": {"label": "E-mail"}},
    {"@template": "{{properties.first}} {{properties.last}}"},
    {"@template": PATH},
    {"@if": {"exists": PATH, "then": PATH, "else": "none"}},
    {"@if": {"exists": PATH}},
    {"@if": {"blank": PATH, "then": {"@literal": 1}}},
    {"@case": {"operator": "lower", "value": PATH}},
    {"@replace": {"pattern": "-", "value": PATH}},
    {
        "@replace": {
            "pattern": "a" * 10, "replacement": "b" * 10, "pattern2": "c", "replacement2": "", "value": PATH,
            "ignorecase": True, "global": False,
        }
    },
    {"@arrayPath": ["$.properties.products"]},
    {"@arrayPath": ["$.properties.products", {"id": {"@path": "$.sku"}}]},
    {"@arrayPath": [PATH, {"id": {"@path": "$.sku"}}]},
    {"@literal": "@not a directive"},
    {"@literal": {"a": [1, 2]}},
    {"@merge": {"objects": [PATH, {"a": 1}], "direction": "right"}},
    {"@transform": {"apply": {"a": PATH}, "mapping": {"b": {"@path": "$.a"}}}},
    {"@flatten": {"value": PATH, "separator": ".", "omitArrays": True}},
    {"@json": {"value": PATH, "mode": "encode"}},
    {"@excludeWhenNull": PATH},
    {"@excludeWhenNull": {"a": PATH}},
    {"@liquid": "{{ properties.email | downcase }}"},
    {"@liquid": "{% if properties.a %}{{ 'a | map' }}{% endif %}"},
    {"@liquid": "x" * 1_000},
    {"@liquid": ""},
]  # fmt: skip
REFUSED: list[tuple[Any, list[tuple[str, str]]]] = [
    ({"@path": 5}, [("f.@path", "string or a directive, not a number")]),
    ({"@path": ["a"]}, [("f.@path", "not an array")]),
    ({"@path": "$.a", "@template": "b"}, [("f", "one directive, not 2")]),
    ({"@path": "$.a", "other": 1}, [("f", "mix the directive @path with other")]),
    ({"@unknown": 1}, [("f", "unknown directive: @unknown")]),
    ({"a": {"b": [{"@unknown": 1}]}}, [("f.a.b[0]", "unknown directive")]),
    ({"@template": None}, [("f.@template", "not null")]),
    ({"@if": 1}, [("f.@if", "object")]),
    ({"@if": {"then": 1}}, [("f.@if", "exists or blank")]),
    ({"@if": {"exists": PATH, "then": {"@x": 1}, "else": {"@y": 1}}}, [("f.@if.then", "@x"), ("f.@if.else", "@y")]),
    ({"@case": {"operator": "title", "value": PATH}}, [("f.@case.operator", "lower, upper")]),
    ({"@case": {"value": PATH}}, [("f.@case", "operator")]),
    ({"@case": {"operator": "lower", "value": 5}}, [("f.@case.value", "not a number")]),
    ({"@replace": {"value": PATH}}, [("f.@replace", "pattern")]),
    ({"@replace": {"pattern": "a"}}, [("f.@replace", "value")]),
    ({"@replace": {"pattern": "", "value": PATH}}, [("f.@replace.pattern", "1 to 10")]),
    ({"@replace": {"pattern": "a" * 11, "value": PATH}}, [("f.@replace.pattern", "1 to 10")]),
    ({"@replace": {"pattern": "a", "replacement": "b" * 11, "value": ""}}, [("f.@replace.replacement", "0 to 10")]),
    ({"@replace": {"pattern": "a", "pattern2": "b" * 11, "value": PATH}}, [("f.@replace.pattern2", "0 to 10")]),
    ({"@replace": {"pattern": "a", "value": "", "global": "yes"}}, [("f.@replace.global", "boolean")]),
    ({"@replace": {"pattern": "a", "value": "", "ignorecase": 1}}, [("f.@replace.ignorecase", "boolean")]),
    ({"@arrayPath": "$.a"}, [("f.@arrayPath", "array")]),
    ({"@arrayPath": []}, [("f.@arrayPath", "array")]),
    ({"@arrayPath": [5]}, [("f.@arrayPath[0]", "string or a directive")]),
    ({"@arrayPath": ["$.a", {"id": {"@x": 1}}]}, [("f.@arrayPath[1].id", "@x")]),
    ({"@literal": {"@x": 1}}, [("f.@literal", "@x")]),
    ({"@merge": {"objects": [PATH]}}, [("f.@merge", "direction")]),
    ({"@merge": {"objects": PATH, "direction": "left"}}, [("f.@merge.objects", "array")]),
    ({"@merge": {"objects": ["a"], "direction": "left"}}, [("f.@merge.objects[0]", "object or a directive")]),
    ({"@merge": {"objects": [], "direction": "up"}}, [("f.@merge.direction", "left, right")]),
    ({"@transform": {"apply": {}}}, [("f.@transform", "mapping")]),
    ({"@transform": {"apply": "a", "mapping": {}}}, [("f.@transform.apply", "object")]),
    ({"@transform": {"apply": {}, "mapping": "a"}}, [("f.@transform.mapping", "object")]),
    ({"@flatten": {"value": PATH}}, [("f.@flatten", "separator")]),
    ({"@flatten": {"value": PATH, "separator": ""}}, [("f.@flatten.separator", "empty")]),
    ({"@flatten": {"separator": "."}}, [("f.@flatten", "value")]),
    ({"@json": {"value": PATH}}, [("f.@json", "mode")]),
    ({"@json": {"value": PATH, "mode": "read"}}, [("f.@json.mode", "encode, decode")]),
    ({"@excludeWhenNull": {"@x": 1}}, [("f.@excludeWhenNull", "@x")]),
    ({"@liquid": PATH}, [("f.@liquid", "not a directive")]),
    ({"@liquid": "x" * 1_001}, [("f.@liquid", "1000 characters")]),
    ({"@liquid": "{% for a in b %}{% endfor %}"}, [("f.@liquid", "tag for")]),
    ({"@liquid": "{%- case a -%}{% endcase %}"}, [("f.@liquid", "tag case")]),
    ({"@liquid": "{{ a | upcase | map: 'b' }}"}, [("f.@liquid", "filter map")]),
    ({"@liquid": "{% assign a = b|sort %}"}, [("f.@liquid", "filter sort")]),
]


@pytest.mark.parametrize("value", ACCEPTED)
def test_what_the_runner_takes_is_accepted(value: Any) -> None:
    assert mapping_kit.faults({"f": value}) == []


@pytest.mark.parametrize(("value", "expected"), REFUSED)
def test_what_the_runner_would_fail_on_is_refused_with_its_path(value: Any, expected: list[tuple[str, str]]) -> None:
    found = mapping_kit.faults({"f": value})
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (_, message), (_, part) in zip(found, expected, strict=True):
        assert part in message


def test_an_integer_has_at_most_64_bits() -> None:
    assert mapping_kit.faults({"f": [2**64 - 1]}) == []
    assert mapping_kit.faults({"f": [2**64]}) == [("f[0]", "must be a safe number")]


def test_every_fault_is_named() -> None:
    found = mapping_kit.faults({"a": {"@x": 1}, "b": PATH, "c": {"@path": 5}})
    assert [path for path, _ in found] == ["a", "c.@path"]


def test_a_mapping_may_be_one_directive() -> None:
    assert mapping_kit.faults({"@path": "$.properties"}) == []


def test_a_root_directive_takes_all_other_fields() -> None:
    root = {"@transform": {"apply": {"a": PATH}}}
    assert mapping_kit.faults({"__segment_internal_directive": root, "f": {"@path": "$.a"}}) == []
    for wrong in ({}, {"@path": "$.a"}, {"a": 1}, root | {"@path": "$.a"}, "x", None):
        assert [path for path, _ in mapping_kit.faults({"__segment_internal_directive": wrong})] == [
            "__segment_internal_directive"
        ]


def test_a_sync_mode_is_one_of_five() -> None:
    assert mapping_kit.faults({"__segment_internal_sync_mode": "upsert"}) == []
    assert [path for path, _ in mapping_kit.faults({"__segment_internal_sync_mode": "merge"})] == [
        "__segment_internal_sync_mode"
    ]


def test_a_mapping_nests_at_most_64_levels() -> None:
    deep: Any = "x"
    for _ in range(63):
        deep = [deep]
    assert mapping_kit.faults({"f": deep}) == []
    assert "64 levels" in mapping_kit.faults({"f": [deep]})[0][1]


@given(objects)
def test_no_mapping_makes_it_fail_otherwise(mapping: dict[str, Any]) -> None:
    for path, message in mapping_kit.faults(mapping):
        assert isinstance(path, str)
        assert message
