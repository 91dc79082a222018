"""The JSON Schema of a tracking plan's rule: what is understood, and the validator that judges events by it.

The dialect is draft-07, less what could reach out or run away: references stay within the schema, patterns are
those of RE2 (model/rule_pattern.py), sizes are bounded. `$id`, `id` and `labels` are kept by the plan and mean
nothing here. Source: Protocols guide, "Tracking plan" (JSON schema, regular expressions); the bounds are
judgements.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import jsonschema_rs
import msgspec

from mainstem.model import rule_pattern, rule_references
from mainstem.model.rule_pattern import PatternRefused
from mainstem.model.rule_references import Position

MAX_BYTES: Final = 128 * 1024
MAX_DEPTH: Final = 100
MAX_FAULTS: Final = 10
PATTERN_BYTES: Final = 1 << 20
"""Memory that one compiled pattern may take; (a{1000}){1000} would take more."""

Fault = tuple[str, str]
Schema = dict[str, Any] | bool
Positions = dict[tuple[str, ...], Position]

_DIALECTS: Final = re.compile(r"https?://json-schema\.org/(draft-0[467]/)?schema#?")
_LEAST, _MOST = -(2**63), 2**64 - 1
_NO_TYPE: Final = "must be array, boolean, integer, null, number, object or string, or an array of them, each once"
_APPLICATORS: Final = (
    "additionalItems", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else",
)  # fmt: skip
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_MAPS: Final = ("properties", "patternProperties", "definitions", "$defs")
_ASSERTIONS: Final = frozenset({
    "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
    "maxLength", "minLength", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required",
    "format", "$ref",
})  # fmt: skip
_metaschema: Final = jsonschema_rs.Draft7Validator(
    {"$ref": "http://json-schema.org/draft-07/schema#"}, validate_formats=False, offline=True
)


def compile_rule(json_schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator of whole events. Expects a schema without `faults`; raises ValueError for one that the engine
    refuses. Its `is_valid` takes any event; its `iter_errors` raises ValueError for what nests too deeply to be
    quoted."""
    return jsonschema_rs.Draft7Validator(
        _judging(json_schema, rule_pattern.translated),
        validate_formats=True,
        ignore_unknown_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES),
        retriever=_refuse,
    )


def faults(json_schema: dict[str, Any]) -> list[Fault]:
    """What stands against this schema, as (path, what is wrong there): at most 10, none when it can be used.
    A path is dotted ("properties.properties.type"), and "" at the root."""
    oversize = _oversize(json_schema)
    if oversize:
        return oversize
    within = positions(json_schema)
    found = list(_unlike_metaschema(json_schema, within))
    found = found or [*_refused_words(json_schema, within), *rule_references.faults(within)]
    return (found or list(_not_compiled(json_schema)))[:MAX_FAULTS]


def positions(json_schema: dict[str, Any]) -> Positions:
    """Every place of a schema that is a schema itself, by its path from the root."""
    found: Positions = {}
    todo: list[tuple[tuple[str, ...], Schema]] = [((), json_schema)]
    while todo:
        path, schema = todo.pop()
        parts = list(_parts(schema)) if isinstance(schema, dict) else []
        found[path] = Position(schema, [(*path, *within) for within, _ in parts])
        todo += reversed([((*path, *within), part) for within, part in parts])
    return found


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """The schemas right within a schema, and the path of each; what stands in the place of one and is none is
    passed over."""
    for path, part in _places(schema):
        if isinstance(part, (dict, bool)):
            yield path, part


def _places(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for word in _APPLICATORS:
        if word in schema:
            yield (word,), schema[word]
    for word in (*_LISTS, "items"):
        inner = schema.get(word)
        if isinstance(inner, list):
            yield from (((word, str(index)), part) for index, part in enumerate(inner))
        elif inner is not None:
            yield (word,), inner
    for word in (*_MAPS, "dependencies"):
        inner = schema.get(word)
        if isinstance(inner, dict):
            yield from (((word, name), part) for name, part in inner.items())


def _judging(schema: Schema, pattern: Callable[[str], str]) -> Schema:
    """The schema with those words alone that judge, and each pattern in the engine's own language."""
    if isinstance(schema, bool):
        return schema
    found: dict[str, Any] = {word: schema[word] for word in schema if word in _ASSERTIONS}
    if "pattern" in schema:
        found["pattern"] = pattern(schema["pattern"])
    for word in _APPLICATORS:
        if word in schema:
            found[word] = _judging(schema[word], pattern)
    for word in (*_LISTS, "items"):
        if word in schema:
            inner = schema[word]
            found[word] = (
                [_judging(part, pattern) for part in inner] if isinstance(inner, list) else _judging(inner, pattern)
            )
    for word in (*_MAPS, "dependencies"):
        if isinstance(schema.get(word), dict):
            found[word] = _judging_map(schema[word], pattern, pattern if word == "patternProperties" else str)
    return found


def _judging_map(
    parts: Mapping[str, Any], pattern: Callable[[str], str], key: Callable[[str], str]
) -> dict[str, Any]:
    """Schemas by name; two patterns that the engine writes alike judge together."""
    found: dict[str, Any] = {}
    for name, part in parts.items():
        judging = part if isinstance(part, list) else _judging(part, pattern)
        found[key(name)] = {"allOf": [found[key(name)], judging]} if key(name) in found else judging
    return found


def _oversize(json_schema: dict[str, Any]) -> list[Fault]:
    level: list[Any] = [json_schema]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _inside(each)]
        large = next((each for each in level if isinstance(each, int) and not _LEAST <= each <= _MOST), None)
        if large is not None:
            return [("", "holds a whole number of more than 64 bits")]
    if level:
        return [("", f"nests deeper than {MAX_DEPTH} levels")]
    size = len(msgspec.json.encode(json_schema))
    return [("", f"is {size} bytes long; at most {MAX_BYTES} are allowed")] if size > MAX_BYTES else []


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value) if isinstance(value, list) else iter(())


def _unlike_metaschema(json_schema: dict[str, Any], within: Positions) -> Iterator[Fault]:
    for error in _metaschema.iter_errors(json_schema):
        place = error.instance_path
        yield dotted(place), _NO_TYPE if place[-1:] == ["type"] else error.message
    for path, position in within.items():
        if isinstance(position.schema, dict) and "$defs" in position.schema:
            yield from _unlike_definitions(position.schema["$defs"], (*path, "$defs"))


def _unlike_definitions(definitions: Any, path: tuple[str, ...]) -> Iterator[Fault]:
    """Draft-07 does not know $defs, the later word for definitions, so its own schema passes it over."""
    if not isinstance(definitions, dict):
        yield dotted(path), "must be an object"
        return
    for name, part in definitions.items():
        for error in _metaschema.iter_errors(part):
            yield dotted((*path, name, *error.instance_path)), error.message


def _refused_words(json_schema: dict[str, Any], within: Positions) -> Iterator[Fault]:
    dialect = json_schema.get("$schema")
    if dialect is not None and not _DIALECTS.fullmatch(dialect):
        yield "$schema", f"{dialect} is not supported: rules are read as draft-07"
    for path, position in within.items():
        for where, pattern in _patterns(position.schema):
            reason = _pattern_fault(pattern)
            if reason:
                yield dotted((*path, *where)), f"{pattern} is no pattern: {reason}"


def _patterns(schema: Schema) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(schema, dict):
        if "pattern" in schema:
            yield ("pattern",), schema["pattern"]
        yield from ((("patternProperties", name), name) for name in schema.get("patternProperties", {}))


@functools.lru_cache(maxsize=1024)
def _pattern_fault(pattern: str) -> str | None:
    try:
        compile_rule({"pattern": pattern})
    except PatternRefused as error:
        return str(error)
    except ValueError:
        return "it cannot be read, or takes too much memory"
    return None


def _not_compiled(json_schema: dict[str, Any]) -> Iterator[Fault]:
    try:
        compile_rule(json_schema)
    except ValueError as error:
        place = dotted(getattr(error, "instance_path", ()))
        yield place, getattr(error, "message", str(error))


def dotted(path: Any) -> str:
    """A path in one line: properties.a.items.0"""
    return ".".join(str(step) for step in path)


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")
