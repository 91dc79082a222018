"""What a rule's JSON Schema may say, and how the validator that it becomes judges events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.model.rule_schema import MAX_BYTES, MAX_DEPTH, MAX_FAULTS, compile_rule, faults

PLANNED = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "labels": {"team": "checkout"},
    "description": "",
    "properties": {
        "context": {},
        "traits": {},
        "properties": {
            "type": "object",
            "properties": {
                "total": {"type": ["number"], "minimum": 0, "id": "/properties/properties/properties/total"},
                "size": {"type": ["string", "null"], "enum": ["s", "m", None]},
                "at": {"type": "string", "format": "date-time"},
                "products": {
                    "type": "array",
                    "items": {"required": ["sku"], "properties": {"sku": {"type": "string"}}},
                },
            },
            "required": ["total"],
        },
    },
    "required": ["properties"],
}


@pytest.mark.parametrize(
    ("properties", "is_valid"),
    [
        ({"total": 1.5, "size": None, "at": "2026-03-10T12:00:00Z", "products": [{"sku": "a"}], "more": 1}, True),
        ({}, False),
        ({"total": "1"}, False),
        ({"total": -1}, False),
        ({"total": 1, "size": "l"}, False),
        ({"total": 1, "at": "yesterday"}, False),
        ({"total": 1, "products": [{"sku": "a"}, {}]}, False),
    ],
)
def test_a_rule_as_the_editor_writes_it_judges_the_whole_event(properties: Any, is_valid: bool) -> None:
    assert faults(PLANNED) == []
    assert compile_rule(PLANNED).is_valid({"type": "track", "event": "e", "properties": properties}) is is_valid


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "any"}, "type"),
        ({"properties": {"a": {"type": ["string", "any"]}}}, "properties.a.type"),
        ({"properties": {"a": {"type": ["string", "string"]}}}, "properties.a.type"),
        ({"properties": []}, "properties"),
        ({"properties": {"a": 1}}, "properties.a"),
        ({"required": "a"}, "required"),
        ({"required": ["a", "a"]}, "required"),
        ({"minimum": "1"}, "minimum"),
        ({"minLength": -1}, "minLength"),
        ({"multipleOf": 0}, "multipleOf"),
        ({"allOf": []}, "allOf"),
        ({"items": [1]}, "items"),
        ({"exclusiveMinimum": True}, "exclusiveMinimum"),
        ({"description": None}, "description"),
        ({"pattern": 1}, "pattern"),
        ({"$defs": []}, "$defs"),
        ({"$defs": {"a": {"properties": {"$defs": {"type": "any"}}}}}, "$defs.a.properties.$defs.type"),
        ({"not": {"$defs": {"a": {"allOf": 3}}}}, "not.$defs.a.allOf"),
        ({"$defs": {"a": {"$defs": {"b": 3}}}}, "$defs.a.$defs.b"),
        ({"definitions": {"a": {"type": "any"}}}, "definitions.a.type"),
        ({"$ref": 1}, "$ref"),
        ({"patternProperties": {"(?!x)": True}}, "patternProperties.(?!x)"),
        ({"properties": {"a.b": {"items": {"pattern": "("}}}}, "properties.a.b.items.pattern"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, "$schema"),
        ({"maximum": 2**64}, ""),
        ({"const": {"a": [-(2**63) - 1]}}, ""),
    ],
)
def test_a_fault_is_named_by_its_path(schema: dict[str, Any], path: str) -> None:
    (fault,) = faults(schema)
    assert fault[0] == path
    assert fault[1]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "http://json-schema.org/draft-07/schema"},
        {"$schema": "https://json-schema.org/draft-04/schema#"},
        {"$schema": "http://json-schema.org/schema#"},
        {"id": "/a", "$id": "no uri %%%", "properties": {"$id": {"type": "string"}, "id": {"$id": "//"}}},
        {"labels": 1, "anything": {"type": "any", "pattern": "("}},
        {"contentMediaType": "application/json", "contentEncoding": "base64"},
        {"format": "of our own"},
        {"maximum": 2**64 - 1, "minimum": -(2**63)},
        {"additionalProperties": False, "propertyNames": {"maxLength": 3}, "if": True, "then": {}, "else": False},
    ],
)
def test_what_is_only_said_or_not_known_does_no_harm(schema: dict[str, Any]) -> None:
    assert faults(schema) == []
    compile_rule(schema)


def test_words_that_only_describe_do_not_judge() -> None:
    judge = compile_rule({"contentMediaType": "application/json", "id": "/x", "$id": "urn:x", "default": 1}).is_valid
    assert judge("{no json")


def test_property_names_that_are_words_of_the_dialect_are_names() -> None:
    schema = {"properties": {"$id": {"type": "integer"}, "$ref": {"type": "integer"}, "pattern": {"type": "integer"}}}
    assert faults(schema) == []
    judge = compile_rule(schema).is_valid
    assert [judge({name: "x"}) for name in schema["properties"]] == [False] * 3


def test_two_patterns_that_are_written_alike_for_the_engine_judge_together() -> None:
    schema = {"patternProperties": {"\\Aa": {"type": "integer"}, "^a": {"minimum": 3}}}
    judge = compile_rule(schema).is_valid
    assert [judge({"a": value}) for value in (2, 3, 3.5)] == [False, True, False]


def test_depth_and_size_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH // 2):
        deep = {"properties": {"a": deep}}
    assert faults(deep) == [("", f"nests deeper than {MAX_DEPTH} levels")]
    assert faults(deep["properties"]["a"]) == []
    size = len('{"title":""}')
    assert faults({"title": "a" * (MAX_BYTES - size)}) == []
    assert faults({"title": "a" * (MAX_BYTES - size + 1)}) == [
        ("", f"is {MAX_BYTES + 1} bytes long; at most {MAX_BYTES} are allowed")
    ]


def test_not_every_fault_is_listed() -> None:
    assert len(faults({"properties": {str(each): {"type": "any"} for each in range(50)}})) == MAX_FAULTS


WORDS = st.sampled_from(
    ["type", "properties", "items", "$defs", "allOf", "not", "if", "pattern", "patternProperties", "enum", "const",
     "required", "$ref", "$id", "id", "definitions", "dependencies", "additionalProperties", "format", "$schema"]
)  # fmt: skip
VALUES = st.sampled_from(["string", "#", "#/definitions/a", "(", "date-time", "http://x", 0, -1, True, None, [], {}])
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCHEMAS = st.recursive(
    VALUES | NUMBERS | st.text(max_size=4),
    lambda inner: st.dictionaries(WORDS | st.just("a"), inner) | st.lists(inner),
    max_leaves=20,
)


@given(SCHEMAS)
def test_any_json_object_is_a_rule_or_has_faults(value: Any) -> None:
    schema = value if isinstance(value, dict) else {"properties": {"a": value}}
    if not faults(schema):
        compile_rule(schema).is_valid({"a": [{"a": "x"}], "b": None})
