"""The words in which violations are told."""

from __future__ import annotations

import pytest

from mainstem.model.rule_schema import compile_rule
from mainstem.model.violation import faults
from model.plans import declaring


def told(schema, value):
    """What is said of properties.x of this value."""
    rule = declaring({"x": schema})
    found = faults(compile_rule(rule).iter_errors({"properties": {"x": value}}), rule)
    return [(each.violation.type, each.violation.field, each.violation.description) for each in found]


@pytest.mark.parametrize(
    ("schema", "value", "type_", "description"),
    [
        ({"type": "integer"}, 1.5, "Invalid Type", "Invalid type. Expected: integer, given: number"),
        ({"type": ["integer"]}, "1", "Invalid Type", "Invalid type. Expected: integer, given: string"),
        ({"type": ["string", "null"]}, 1, "Invalid Type", "Invalid type. Expected: [string,null], given: integer"),
        ({"type": ["string", "null"]}, 1.0, "Invalid Type", "Invalid type. Expected: [string,null], given: integer"),
        ({"type": "string"}, True, "Invalid Type", "Invalid type. Expected: string, given: boolean"),
        ({"type": "string"}, None, "Invalid Type", "Invalid type. Expected: string, given: null"),
        ({"type": "string"}, [], "Invalid Type", "Invalid type. Expected: string, given: array"),
        ({"type": "string"}, {}, "Invalid Type", "Invalid type. Expected: string, given: object"),
        ({"enum": ["a", "b"]}, "c", "Enum", 'properties.x must be one of the following: "a", "b"'),
        ({"enum": [1, {"a": [1]}]}, "é", "Enum", 'properties.x must be one of the following: 1, {"a":[1]}'),
        ({"const": "ü"}, 1, "Const", 'properties.x does not match: "ü"'),
        ({"pattern": r"^\d+$"}, "a", "Pattern", r"Does not match pattern '^\d+$'"),
        ({"format": "date-time"}, "a", "Format", "Does not match format 'date-time'"),
        ({"minLength": 3}, "a", "String Gte", "String length must be greater than or equal to 3"),
        ({"maxLength": 3}, "abcd", "String Lte", "String length must be less than or equal to 3"),
        ({"minimum": 0}, -1, "Number Gte", "Must be greater than or equal to 0"),
        ({"exclusiveMinimum": 0.5}, 0.5, "Number Gt", "Must be greater than 0.5"),
        ({"maximum": 10}, 11, "Number Lte", "Must be less than or equal to 10"),
        ({"exclusiveMaximum": 10}, 10, "Number Lt", "Must be less than 10"),
        ({"multipleOf": 5}, 7, "Multiple Of", "Must be a multiple of 5"),
        ({"minItems": 1}, [], "Array Min Items", "Array must have at least 1 items"),
        ({"maxItems": 1}, [1, 2], "Array Max Items", "Array must have at most 1 items"),
        ({"uniqueItems": True}, [1, {"a": 1}, 2, {"a": 1}], "Unique", "array items[1,3] must be unique"),
        ({"contains": {"type": "string"}}, [1], "Contains", "At least one of the items must match"),
        ({"minProperties": 1}, {}, "Array Min Properties", "Must have at least 1 properties"),
        ({"maxProperties": 0}, {"a": 1}, "Array Max Properties", "Must have at most 0 properties"),
        ({"anyOf": [{"type": "string"}]}, 1, "Number Any Of", "Must validate at least one schema (anyOf)"),
        ({"oneOf": [{}, {}]}, 1, "Number One Of", "Must validate one and only one schema (oneOf)"),
        ({"oneOf": [False]}, 1, "Number One Of", "Must validate one and only one schema (oneOf)"),
        ({"not": {}}, 1, "Number Not", "Must not validate the schema (not)"),
        (False, 1, "False", "False always fails validation"),
        (
            {"items": [{}], "additionalItems": False}, [1, 2],
            "Array No Additional Items", "No additional items allowed on array",
        ),
        (
            {"propertyNames": {"maxLength": 1}}, {"ab": 1},
            "Invalid Property Name", 'Property name of "ab" does not match',
        ),
        ({"dependencies": {"a": ["b"]}}, {"a": 1}, "Missing Dependency", "Has a dependency on b"),
        (
            {"properties": {"a": {}}, "additionalProperties": False}, {"b": 1},
            "Additional Property Not Allowed", "Additional property b is not allowed",
        ),
    ],
)  # fmt: skip
def test_every_kind_of_violation_has_its_type_and_its_text(schema, value, type_, description):
    assert told(schema, value) == [(type_, "properties.x", description)]


def test_a_missing_property_is_told_under_the_path_that_it_should_have():
    rule = declaring({}, "products")
    found = faults(compile_rule(rule).iter_errors({"properties": {}}), rule)
    assert [each.violation.field for each in found] == ["properties.products"]
    assert found[0].violation.description == "properties.products is required"
    assert found[0].culprit is None


def test_the_event_itself_is_called_root():
    rule = {"anyOf": [{"required": ["groupId"]}]}
    assert faults(compile_rule(rule).iter_errors({}), rule)[0].violation.field == "(root)"


def test_the_place_in_a_list_is_part_of_the_path():
    assert told({"items": {"properties": {"sku": {"type": "string"}}}}, [{}, {"sku": 1}]) == [
        ("Invalid Type", "properties.x.1.sku", "Invalid type. Expected: string, given: integer")
    ]


def test_each_property_too_many_is_a_violation():
    schema = {"properties": {"a": {}}, "additionalProperties": False}
    assert [text for _, _, text in told(schema, {"b": 1, "c": 2})] == [
        "Additional property b is not allowed",
        "Additional property c is not allowed",
    ]


def test_what_is_of_the_wrong_type_is_not_looked_at_further():
    schema = {"type": "integer", "enum": [1], "minLength": 9, "allOf": [{"pattern": "^b"}]}
    assert told(schema, "a") == [("Invalid Type", "properties.x", "Invalid type. Expected: integer, given: string")]


@pytest.mark.parametrize(
    ("schema", "type_", "description"),
    [
        ({"allOf": [{"minimum": 5}]}, "Number All Of", "Must validate all the schemas (allOf)"),
        ({"if": {"minimum": 0}, "then": {"minimum": 5}}, "Condition Then", 'Must validate "then" as "if" was valid'),
        (
            {"if": {"minimum": 9}, "else": {"minimum": 5}},
            "Condition Else", 'Must validate "else" as "if" was not valid',
        ),
    ],
)  # fmt: skip
def test_a_schema_made_of_others_is_told_and_so_is_what_is_at_fault_inside(schema, type_, description):
    assert told(schema, 1) == [
        (type_, "properties.x", description),
        ("Number Gte", "properties.x", "Must be greater than or equal to 5"),
    ]


def test_a_property_that_is_called_like_a_keyword_is_a_property():
    assert told({"properties": {"then": {"properties": {"allOf": {"type": "string"}}}}}, {"then": {"allOf": 1}}) == [
        ("Invalid Type", "properties.x.then.allOf", "Invalid type. Expected: string, given: integer")
    ]


def test_the_same_fault_is_told_once():
    assert len(told({"allOf": [{"minimum": 5}, {"minimum": 5}]}, 1)) == 2  # allOf, and the minimum


def test_a_reference_is_followed():
    rule = declaring({"x": {"$ref": "#/definitions/id"}}) | {"definitions": {"id": {"type": ["string", "null"]}}}
    found = faults(compile_rule(rule).iter_errors({"properties": {"x": 1}}), rule)
    assert found[0].violation.description == "Invalid type. Expected: [string,null], given: integer"
