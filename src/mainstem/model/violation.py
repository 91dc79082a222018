"""How an event breaks a rule of a tracking plan, in the words in which violations are reported.

Types, texts and fields are those of the Go library gojsonschema, which the hosted service validates with; only the
field of a missing property is the missing path itself. Source: product guide, "Forward Violations", its example.

A schema that is made of others (allOf, then, else) is reported at the value it judges, and what is at fault inside
it beside that; of anyOf, oneOf and not only the former, for there is no telling which branch was meant. A value of
the wrong type is not looked at any further. (Judgements, after the library.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
from jsonschema_rs import ValidationError

ROOT: Final = "(root)"
Path = tuple[str | int, ...]


class Violation(msgspec.Struct, frozen=True):
    """A fault of an event; `field` is the full path, dotted, or "(root)" for the event itself."""

    type: str
    field: str
    description: str


class Fault(msgspec.Struct, frozen=True):
    """A violation, and the path of the value that is at fault; None when none is, but one is missing."""

    violation: Violation
    culprit: Path | None = None


def faults(errors: Iterable[ValidationError], schema: Any) -> list[Fault]:
    """Every fault, each once, in the order in which they were found. `schema` is what the errors came from."""
    found = [_Error(error) for error in errors]
    mistyped: dict[Path, set[Path]] = {}
    for error in found:
        if error.keyword == "type":
            mistyped.setdefault(error.place[:-1], set()).add(error.path)
    every: dict[Fault, None] = {}
    for error in found:
        if not error.is_moot(mistyped):
            every.update(dict.fromkeys(error.wrappers()))
            every.update(dict.fromkeys(error.faults(schema)))
    return list(every)


class _Error:
    """An error of the validator: where it is in the event, and by which keyword of the schema."""

    def __init__(self, error: ValidationError) -> None:
        self._error = error
        self._kind: Any = error.kind
        self.path: Path = tuple(error.instance_path)
        self.place: Path = tuple(error.evaluation_path)
        self.keyword: str = error.kind.name

    def is_moot(self, mistyped: dict[Path, set[Path]]) -> bool:
        """Whether it judges a value, or something inside one, that the same schema found of the wrong type."""
        if self.keyword == "type" and self.path in mistyped.get(self.place[:-1], ()):
            return False
        return any(
            self.path[: len(path)] == path
            for length in range(len(self.place))
            for path in mistyped.get(self.place[:length], ())
        )

    def wrappers(self) -> Iterator[Fault]:
        """The schemas made of others on the way to the keyword, outermost first."""
        for keyword, depth in _schemas_on(self.place):
            named = _WRAPPERS.get(keyword)
            if named:
                yield Fault(Violation(named[0], _field(self.path[:depth]), named[1]))

    def faults(self, schema: Any) -> Iterator[Fault]:
        """What it says: a fault, or one for each property that may not be."""
        path = self.path
        if self.keyword == "required":
            missing = self._kind.property
            if self.place[-1:] == ("dependencies",):
                yield Fault(Violation("Missing Dependency", _field(path), f"Has a dependency on {missing}"))
            else:
                field = _field((*path, missing))
                yield Fault(Violation("Required", field, f"{field} is required"))
        elif self.keyword == "additionalProperties":
            for name in self._kind.unexpected:
                text = f"Additional property {name} is not allowed"
                yield Fault(Violation("Additional Property Not Allowed", _field(path), text), (*path, name))
        elif self.keyword == "propertyNames":
            name = self._kind.error.instance
            text = f'Property name of "{name}" does not match'
            yield Fault(Violation("Invalid Property Name", _field(path), text), (*path, name))
        else:
            type_, text = self._words(schema)
            yield Fault(Violation(type_, _field(path), text), path)

    def _words(self, schema: Any) -> tuple[str, str]:
        value = self._error.instance
        if self.keyword == "type":
            expected = _declared(schema, self._error.schema_path, self._kind.types)
            return "Invalid Type", f"Invalid type. Expected: {_types(expected)}, given: {_type_of(value)}"
        if self.keyword == "enum":
            options = ", ".join(map(_json, self._kind.options))
            return "Enum", f"{_field(self.path)} must be one of the following: {options}"
        if self.keyword == "const":
            return "Const", f"{_field(self.path)} does not match: {_json(self._kind.expected_value)}"
        if self.keyword == "uniqueItems":
            return "Unique", f"array items{_same(value)} must be unique"
        if self.keyword == "pattern":
            pattern = _declared(schema, self._error.schema_path, self._kind.pattern)
            return "Pattern", f"Does not match pattern '{pattern}'"
        words = _WORDS.get(self.keyword)
        if words is None:
            return "Internal", f"Internal Error {self.keyword}"
        return words[0], words[1](self._kind)


_WRAPPERS: Final = {
    "allOf": ("Number All Of", "Must validate all the schemas (allOf)"),
    "then": ("Condition Then", 'Must validate "then" as "if" was valid'),
    "else": ("Condition Else", 'Must validate "else" as "if" was not valid'),
}


def _limit(before: str, after: str = "") -> Callable[[Any], str]:
    return lambda kind: f"{before}{_json(kind.limit)}{after}"


_WORDS: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "anyOf": ("Number Any Of", lambda _: "Must validate at least one schema (anyOf)"),
    "oneOf": ("Number One Of", lambda _: "Must validate one and only one schema (oneOf)"),
    "not": ("Number Not", lambda _: "Must not validate the schema (not)"),
    "falseSchema": ("False", lambda _: "False always fails validation"),
    "format": ("Format", lambda kind: f"Does not match format '{kind.format}'"),
    "minLength": ("String Gte", _limit("String length must be greater than or equal to ")),
    "maxLength": ("String Lte", _limit("String length must be less than or equal to ")),
    "minimum": ("Number Gte", _limit("Must be greater than or equal to ")),
    "exclusiveMinimum": ("Number Gt", _limit("Must be greater than ")),
    "maximum": ("Number Lte", _limit("Must be less than or equal to ")),
    "exclusiveMaximum": ("Number Lt", _limit("Must be less than ")),
    "multipleOf": ("Multiple Of", lambda kind: f"Must be a multiple of {_json(kind.multiple_of)}"),
    "minItems": ("Array Min Items", _limit("Array must have at least ", " items")),
    "maxItems": ("Array Max Items", _limit("Array must have at most ", " items")),
    "contains": ("Contains", lambda _: "At least one of the items must match"),
    "additionalItems": ("Array No Additional Items", lambda _: "No additional items allowed on array"),
    "minProperties": ("Array Min Properties", _limit("Must have at least ", " properties")),
    "maxProperties": ("Array Max Properties", _limit("Must have at most ", " properties")),
}

_NAMED: Final = frozenset({"properties", "patternProperties"})  # a name follows, and a value inside is judged
_INSIDE: Final = frozenset({"items", "additionalItems", "additionalProperties", "contains"})


def _schemas_on(place: Path) -> Iterator[tuple[str, int]]:
    """The keywords on the way to an error's, each with the depth of the value that it judges. What is a name or
    a number on that way is no keyword, whatever it is called."""
    depth, parts = 0, iter(place[:-1])
    for keyword in parts:
        yield str(keyword), depth
        if keyword in _NAMED:
            next(parts, None)
            depth += 1
        elif keyword in _INSIDE:
            depth += 1
        elif keyword == "dependencies":
            next(parts, None)


def _field(path: Path) -> str:
    return ".".join(map(str, path)) or ROOT


def _declared(schema: Any, path: Iterable[str | int], otherwise: Any) -> Any:
    """What stands in the schema at `path`: the validator has types in another order, and patterns translated."""
    try:
        for part in path:
            schema = schema[part]
    except (LookupError, TypeError):
        return otherwise
    return schema


def _types(expected: Any) -> str:
    names = [expected] if isinstance(expected, str) else list(expected)
    return str(names[0]) if len(names) == 1 else f"[{','.join(map(str, names))}]"


_TYPES: Final = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", type(None): "null"}


def _type_of(value: Any) -> str:
    named = _TYPES.get(type(value))
    return named or ("integer" if value == value // 1 else "number")


def _same(items: Any) -> str:
    """The places of the first two items that are the same, "[0,1]"."""
    seen: dict[str, int] = {}
    for place, item in enumerate(items):
        before = seen.setdefault(json.dumps(item, sort_keys=True, default=str), place)
        if before != place:
            return f"[{before},{place}]"
    return ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
