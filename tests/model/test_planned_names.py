"""Which names a rule plans."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.model.planned_names import planned_names
from model.json_values import NAMES, objects
from model.plans import declaring


def trimmed(names, value, **more):
    """What is left of properties, and the names of what is not."""
    before, omitted = copy.deepcopy(value), []
    left = planned_names(declaring(names) | more, "properties").trim(value, omitted)
    assert value == before
    assert (left is value) is not omitted or not omitted
    return left, omitted


SCHEMAS = st.sampled_from(
    [
        {}, {"properties": {"a": {}, "b": {"properties": {"a": {}}}}}, {"items": {"properties": {"type": {}}}},
        {"patternProperties": {"^a": {}}}, {"properties": {}}, {"$ref": "#"},
    ]
)  # fmt: skip
ADDRESS = {"type": "object", "properties": {"city": {}, "geo": {"type": "object"}}}


@pytest.mark.parametrize(
    ("names", "value", "left", "omitted"),
    [
        ({"a": {}}, {"a": 1}, {"a": 1}, []),
        ({"a": {}}, {}, {}, []),
        ({"a": {}}, {"a": 1, "b": 2, "A": 3, "a ": 4}, {"a": 1}, ["b", "A", "a "]),
        ({}, {"a": 1}, {}, ["a"]),
        ({"at": ADDRESS}, {"at": {"city": 1, "zip": 2}}, {"at": {"city": 1}}, ["at.zip"]),
        ({"at": ADDRESS}, {"at": {"geo": {"lat": 1}}}, {"at": {"geo": {"lat": 1}}}, []),
        ({"at": ADDRESS}, {"at": "text"}, {"at": "text"}, []),
        ({"at": ADDRESS}, {"at": None, "b": 1}, {"at": None}, ["b"]),
        (
            {"products": {"type": "array", "items": {"properties": {"sku": {}}}}},
            {"products": [{"sku": 1}, {"sku": 2, "price": 3}, "odd", None, {"price": 1}]},
            {"products": [{"sku": 1}, {"sku": 2}, "odd", None, {}]},
            ["products.$.price", "products.$.price"],
        ),
        ({"a": {"allOf": [{"properties": {"x": {}}}, {"properties": {"y": {}}}]}}, {"a": {"x": 1, "y": 2, "z": 3}},
         {"a": {"x": 1, "y": 2}}, ["a.z"]),
        ({"a": {"if": {}, "then": {"properties": {"x": {}}}}}, {"a": {"x": 1, "z": 3}}, {"a": {"x": 1}}, ["a.z"]),
        ({"a": {"patternProperties": {"^x_": {}}}}, {"a": {"x_1": 1, "y": 2}}, {"a": {"x_1": 1}}, ["a.y"]),
        ({"a": {"$ref": "#/nowhere"}, "b": {"$ref": 7}}, {"a": {"z": 1}, "b": 1}, {"a": {"z": 1}, "b": 1}, []),
    ],
)  # fmt: skip
def test_names_are_planned_level_by_level(names, value, left, omitted):
    assert trimmed(names, value) == (left, omitted)


def test_a_rule_that_declares_no_properties_plans_none():
    assert planned_names({"type": "object"}, "properties").trim({"a": 1}, []) == {}


def test_traits_are_planned_where_the_rule_declares_traits():
    names = planned_names(declaring({"email": {}}, container="traits"), "traits")
    assert names.trim({"email": 1, "x": 2}, []) == {"email": 1}


def test_a_schema_that_refers_to_itself_plans_every_level():
    node = {"properties": {"name": {}, "children": {"items": {"$ref": "#/definitions/node"}}}}
    tree = {"name": 1, "children": [{"name": 2, "children": [{"x": 1}], "y": 1}]}
    left, omitted = trimmed({"tree": {"$ref": "#/definitions/node"}}, {"tree": tree}, definitions={"node": node})
    assert left == {"tree": {"name": 1, "children": [{"name": 2, "children": [{}]}]}}
    assert omitted == ["tree.children.$.y", "tree.children.$.children.$.x"]


def test_a_schema_that_refers_to_itself_in_many_ways_is_read_in_a_moment():
    loop = {"properties": {name: {"$ref": "#"} for name in "abcdefgh"}, "allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert planned_names(loop | {"properties": {"properties": {"$ref": "#"}}}, "properties").names == {"properties"}


def test_values_that_nest_deeper_than_rules_look_stay_as_they_are():
    loop = {"properties": {"a": {"$ref": "#/definitions/loop"}}}
    value = {"x": 1}
    for _ in range(200):
        value = {"a": value}
    left, omitted = trimmed({"a": {"$ref": "#/definitions/loop"}}, value, definitions={"loop": loop})
    assert (left, omitted) == (value, [])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), SCHEMAS, max_size=4), objects)
def test_a_glance_finds_what_trimming_finds(names, value):
    planned, omitted = planned_names(declaring(names), "properties"), []
    planned.trim(value, omitted)
    assert planned.covers(value) is not bool(omitted)
