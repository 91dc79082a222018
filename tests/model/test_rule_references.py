"""References that judging by would not come to an end, or would take the stack, are refused."""

import subprocess
import sys
from typing import Any

import pytest

from mainstem.model.rule_references import MAX_CYCLE, MAX_DEPTH
from mainstem.model.rule_schema import compile_rule, faults

LIST = {"definitions": {"item": {"properties": {"next": {"$ref": "#/definitions/item"}}, "required": ["id"]}}}


def test_a_local_reference_leads_to_the_schema_at_its_pointer() -> None:
    schema = {
        "definitions": {"a/b ~%": {"type": "integer"}},
        "$defs": {"c": {"type": "string"}},
        "properties": {
            "one": {"$ref": "#/definitions/a~1b%20~0%25"},
            "two": {"$ref": "#/$defs/c"},
            "three": {"$ref": "#/properties/one"},
        },
    }
    assert faults(schema) == []
    judge = compile_rule(schema).is_valid
    assert judge({"one": 1, "two": "a", "three": 3})
    assert [judge({name: True}) for name in ("one", "two", "three")] == [False] * 3


@pytest.mark.parametrize(
    "reference",
    [
        "http://example.com/schema.json",
        "https://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-07/schema#",
        "file:///etc/passwd",
        "other.json",
        "",
        "#name",
        "urn:a",
        "#/definitions/none",
        "#/definitions",
        "#/required",
        "#/properties/a/const",
        "//example.com/#",
    ],
)
def test_a_reference_to_anywhere_else_is_refused(reference: str) -> None:
    schema = {
        "definitions": {"item": {}},
        "required": ["a"],
        "properties": {"a": {"const": {"type": "string"}}, "b": {"$ref": reference}},
    }
    assert faults(schema) == [("properties.b.$ref", f"{reference} does not lead to a schema within this one")]


def test_what_stands_beside_a_reference_or_where_no_schema_stands_is_no_reference() -> None:
    outside = {"$ref": "http://example.com"}
    schema = {
        "properties": {"$ref": {"type": "string"}, "a": {"const": outside, "default": outside}},
        "labels": outside,
        "examples": [outside],
        "enum": [outside, {}],
    }
    assert faults(schema) == []
    assert compile_rule(schema).is_valid(outside)


def test_an_id_moves_no_reference() -> None:
    schema = {
        "$id": "http://example.com/root.json",
        "definitions": {"text": {"type": "string"}},
        "properties": {"a": {"$id": "/elsewhere", "items": {"$ref": "#/definitions/text"}}, "b": {"$id": "#b"}},
    }
    assert faults(schema) == []
    assert not compile_rule(schema).is_valid({"a": [1]})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"not": {"anyOf": [{"$ref": "#"}]}},
        {"if": {"$ref": "#"}},
        {"dependencies": {"a": {"$ref": "#"}}},
        {"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"oneOf": [{"$ref": "#/definitions/a"}]}},
         "properties": {"x": {"$ref": "#/definitions/a"}}},
        {"properties": {"a": {"then": {"$ref": "#/properties/a"}, "if": True}}},
    ],
)  # fmt: skip
def test_a_reference_that_returns_without_going_deeper_is_refused(schema: dict[str, Any]) -> None:
    ((path, message),) = faults(schema)
    assert path.endswith("$ref")
    assert message.endswith("refers to itself without end")


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"next": {"$ref": "#"}}},
        {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}},
        LIST | {"properties": {"a": {"$ref": "#/definitions/item"}, "b": {"$ref": "#/definitions/item"}}},
        {"properties": {"children": {"items": {"$ref": "#"}}}},
        {"definitions": {"a": {"properties": {"b": {"$ref": "#/definitions/b"}}},
                         "b": {"properties": {"a": {"$ref": "#/definitions/a"}}}}, "$ref": "#/definitions/a"},
    ],
)  # fmt: skip
def test_a_reference_that_goes_deeper_on_its_way_back_is_followed(schema: dict[str, Any]) -> None:
    assert faults(schema) == []


def test_lists_of_any_length_are_judged_to_their_end() -> None:
    judge = compile_rule(LIST | {"$ref": "#/definitions/item"}).is_valid
    good: dict[str, Any] = {"id": 1}
    bad: dict[str, Any] = {}
    for _ in range(500):
        good, bad = {"id": 1, "next": good}, {"id": 1, "next": bad}
    assert (judge(good), judge(bad)) == (True, False)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}},
        {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]},
        {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
        {"items": {"$ref": "#"}, "contains": {"$ref": "#"}},
        {"properties": {"a": {"$ref": "#", "title": "same"}}, "patternProperties": {"^a": {"$ref": "#"}}},
        {"properties": {"a": {"$ref": "#"}}, "not": {"properties": {"a": {"properties": {"b": {"$ref": "#"}}}}}},
    ],
)
def test_two_ways_back_that_one_part_of_an_event_can_take_are_refused(schema: dict[str, Any]) -> None:
    ((path, message),) = faults(schema)
    assert (path.endswith("$ref"), message) == (True, "refers back in two ways at once")


def test_a_schema_that_doubles_at_every_reference_is_refused() -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 2} for n in range(25)}
    schema = {"definitions": {**doubling, "d25": {}}, "$ref": "#/definitions/d0"}
    assert faults(schema) == [("", "unfolds to more than 20000 schemas")]


def test_a_chain_of_references_has_a_length() -> None:
    chain = {f"d{n}": {"items": {"$ref": f"#/definitions/d{n + 1}"}} for n in range(MAX_DEPTH)}
    schema = {"definitions": {**chain, f"d{MAX_DEPTH}": {}}, "$ref": "#/definitions/d0"}
    ((_, message),) = faults(schema)
    assert message == f"lies more than {MAX_DEPTH} schemas deep when references are followed"


WRAPPED = {
    "allOf": "{'allOf': [S]}",
    "anyOf": "{'anyOf': [False, S]}",
    "oneOf": "{'oneOf': [False, S]}",
    "not": "{'not': {'not': S}}",
    "if": "{'if': True, 'then': S}",
    "dependencies": "{'dependencies': {'a': S}}",
    "mixed": "{'minProperties': 0, 'allOf': [{'type': 'object'}, S]}",
}
DEEP = """
import threading
from mainstem.model.rule_schema import compile_rule, faults
S = {'properties': {'a': {'$ref': '#'}}, 'required': ['q'], 'minProperties': 5, 'patternProperties': {'^z': False}}
for _ in range(WRAPS):
    S = WRAPPING
    if faults(S):
        raise SystemExit('refused: ' + str(faults(S)))
event = {}
for _ in range(990):
    event = {'a': event}
def judge():
    compile_rule(S).is_valid(event)
    print('judged')
thread = threading.Thread(target=judge)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("word", WRAPPED)
def test_the_deepest_event_fits_the_stack_on_the_longest_way_back(word: str) -> None:
    """In a process of its own: a stack that overflows ends it."""
    wraps = (MAX_CYCLE - 1) // 2 if word == "not" else MAX_CYCLE - 1
    script = DEEP.replace("WRAPS", str(wraps)).replace("WRAPPING", WRAPPED[word])
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "judged", "")


def test_a_longer_way_back_is_refused() -> None:
    schema: dict[str, Any] = {"properties": {"a": {"$ref": "#"}}}
    for _ in range(MAX_CYCLE):
        schema = {"allOf": [schema]}
    ((path, message),) = faults(schema)
    assert (path.endswith("$ref"), message) == (True, f"# refers back over more than {MAX_CYCLE} schemas")
