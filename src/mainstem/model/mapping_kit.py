"""Mappings of Actions destinations, checked when they are written: which field of the action gets what.

A mapping is a JSON object whose values may be directives: objects with one key that begins with `@`, and perhaps
`_metadata` beside it. The runner validates a mapping before each delivery and fails the event when it is invalid,
so what it would refuse is refused here first, and with it what it would only find while it resolves the mapping.

    {"email": {"@path": "$.properties.email"}, "tier": {"@if": {"exists": …, "then": "gold", "else": "none"}}}

Source: behaviour of the mapping kit of @segment/actions-core 3.170.0, held beside it by tests. Judgements: what no
action can take (a value of another kind than its field, a required field without value) is refused too; fields that
the action does not have are kept, as the runner leaves them out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

MAX_REPLACE: Final = 10
"""Characters of what @replace looks for, and of what it puts there."""
MAX_LIQUID: Final = 1_000
MAX_DEPTH: Final = 64
ROOT: Final = "__segment_internal_directive"
SYNC_MODE: Final = "__segment_internal_sync_mode"
SYNC_MODES: Final = ("add", "update", "upsert", "delete", "mirror")
DISABLED_TAGS: Final = frozenset({"case", "for", "include", "layout", "render", "tablerow"})
DISABLED_FILTERS: Final = frozenset(
    {
        *("array_to_sentence_string", "concat", "find", "find_exp", "find_index", "find_index_exp", "group_by"),
        *("group_by_exp", "has", "has_exp", "map", "newline_to_br", "reject", "reject_exp", "reverse", "sort"),
        *("sort_natural", "uniq", "where_exp", "type"),
    }
)

_INTEGERS: Final = range(-(2**63), 2**64)  # what every reader of a publication can hold

Fault = tuple[str, str]
"""The path of a value, as `properties.items[0].@path`, and what is wrong with it."""
Check = Callable[[Any, str], Iterator[Fault]]


def faults(mapping: Mapping[str, Any]) -> list[Fault]:
    """What the runner would refuse in a mapping, all of it."""
    if _depth(mapping) > MAX_DEPTH:
        return [("", f"must not nest deeper than {MAX_DEPTH} levels")]
    found = list(_value({key: value for key, value in mapping.items() if key != ROOT}, ""))
    if ROOT in mapping:
        found += _root(mapping[ROOT], ROOT)
    mode = mapping.get(SYNC_MODE)
    if mode is not None and mode not in SYNC_MODES:
        found.append((SYNC_MODE, f"must be one of [{', '.join(SYNC_MODES)}]"))
    return found


def directive_of(value: Any) -> str | None:
    """The name of the directive that a value is; None for one that is taken as it stands."""
    return next((key for key in value if key.startswith("@")), None) if isinstance(value, dict) else None


# ---- kinds of values


def _value(value: Any, path: str) -> Iterator[Fault]:
    """A value of a mapping: what is no directive is gone through, for directives within it count."""
    if directive_of(value):
        yield from _directive(value, path)
    elif isinstance(value, dict):
        yield from _object(value, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value(item, f"{path}[{index}]")
    elif isinstance(value, int) and value not in _INTEGERS:
        yield path, "must be a safe number"


def _object(value: Mapping[str, Any], path: str) -> Iterator[Fault]:
    for key, inner in value.items():
        if key.startswith("@"):
            yield path, f"must not have the directive {key} here"
        else:
            yield from _value(inner, f"{path}.{key}" if path else key)


def _directive(value: Mapping[str, Any], path: str) -> Iterator[Fault]:
    names = [key for key in value if key.startswith("@")]
    if len(names) > 1:
        yield path, f"must have one directive, not {len(names)}: {', '.join(names)}"
        return
    others = [key for key in value if not key.startswith("@") and key != "_metadata"]
    if others:
        yield path, f"must not mix the directive {names[0]} with {', '.join(others)}"
        return
    check = _DIRECTIVES.get(names[0])
    if check is None:
        yield path, f"has an unknown directive: {names[0]}"
    else:
        yield from check(value[names[0]], f"{path}.{names[0]}")


def _directive_or_string(value: Any, path: str) -> Iterator[Fault]:
    if directive_of(value):
        yield from _directive(value, path)
    elif not isinstance(value, str):
        yield path, f"must be a string or a directive, not {_kind(value)}"


def _directive_or_object(value: Any, path: str) -> Iterator[Fault]:
    if isinstance(value, dict):
        yield from _value(value, path)
    else:
        yield path, f"must be an object or a directive, not {_kind(value)}"


def _string(value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield path, f"must be a string, not {_kind(value)}"


def _boolean(value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, bool):
        yield path, f"must be a boolean, not {_kind(value)}"


def _length(least: int, most: int) -> Check:
    def check(value: Any, path: str) -> Iterator[Fault]:
        yield from _string(value, path)
        if isinstance(value, str) and not least <= len(value) <= most:
            yield path, f"must have {least} to {most} characters"

    return check


def _filled_string(value: Any, path: str) -> Iterator[Fault]:
    yield from _string(value, path)
    if value == "":
        yield path, "must not be empty"


def _or_null(check: Check) -> Check:
    return lambda value, path: iter(()) if value is None else check(value, path)


def _one_of(*allowed: str) -> Check:
    def check(value: Any, path: str) -> Iterator[Fault]:
        if value not in allowed:
            yield path, f"must be one of [{', '.join(allowed)}]"

    return check


def _fields(required: Mapping[str, Check], optional: Mapping[str, Check], *, one_of: Collection[str] = ()) -> Check:
    """An object with these fields, others being values; `one_of`: at least one of these is there."""
    known = {**required, **optional}

    def check(value: Any, path: str) -> Iterator[Fault]:
        if not isinstance(value, dict) or directive_of(value):
            yield path, f"must be an object with fields, not {_kind(value)}"
            return
        for name, inner in value.items():
            yield from known.get(name, _value)(inner, f"{path}.{name}")
        for name in required:
            if name not in value:
                yield path, f"must have the field {name}"
        if one_of and not any(name in value for name in one_of):
            yield path, f"must have the field {' or '.join(one_of)}"

    return check


def _kind(value: Any) -> str:
    if directive_of(value):
        return "a directive"
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


# ---- directives


def _array_path(value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, list) or not value:
        yield path, "must be an array of a path and, perhaps, the shape of an item"
        return
    yield from _directive_or_string(value[0], f"{path}[0]")
    for index, inner in enumerate(value[1:], 1):
        yield from _value(inner, f"{path}[{index}]")


def _objects(value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield path, f"must be an array, not {_kind(value)}"
        return
    for index, item in enumerate(value):
        yield from _directive_or_object(item, f"{path}[{index}]")


def _apply(value: Any, path: str) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield path, f"must be an object, not {_kind(value)}"
    else:
        yield from _value(value, path)


def _root(value: Any, path: str) -> Iterator[Fault]:
    """The directive around all other fields: an object with one directive, which takes them as its `mapping`."""
    name = directive_of(value)
    if name is None or len(value) > 1 or not isinstance(value[name], dict):
        yield path, "must be an object with one directive, whose value is an object"
    else:
        yield from _directive({name: {**value[name], "mapping": {}}}, path)


_TAG: Final = re.compile(r"\{%-?\s*(?:liquid\s+)?(\w+)")
_MARKUP: Final = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_TEXT: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_FILTER: Final = re.compile(r"\|\s*(\w+)")


def _liquid(value: Any, path: str) -> Iterator[Fault]:
    """A Liquid template; whether it is well formed shows when it is rendered."""
    yield from _string(value, path)
    if not isinstance(value, str):
        return
    if len(value) > MAX_LIQUID:
        yield path, f"must have at most {MAX_LIQUID} characters"
    for name in dict.fromkeys(_TAG.findall(value)):
        if name in DISABLED_TAGS:
            yield path, f"must not use the Liquid tag {name}"
    filters = [name for found in _MARKUP.finditer(value) for name in _FILTER.findall(_TEXT.sub("''", found[0]))]
    for name in dict.fromkeys(filters):
        if name in DISABLED_FILTERS:
            yield path, f"must not use the Liquid filter {name}"


_DIRECTIVES: Final[Mapping[str, Check]] = {
    "@if": _fields({}, {}, one_of=("exists", "blank")),
    "@case": _fields({"operator": _one_of("lower", "upper")}, {"value": _directive_or_string}),
    "@replace": _fields(
        {"pattern": _length(1, MAX_REPLACE), "value": _directive_or_string},
        {
            "replacement": _length(0, MAX_REPLACE),
            "pattern2": _or_null(_length(0, MAX_REPLACE)),
            "replacement2": _or_null(_length(0, MAX_REPLACE)),
            "ignorecase": _boolean,
            "global": _boolean,
        },
    ),
    "@arrayPath": _array_path,
    "@path": _directive_or_string,
    "@json": _fields({"value": _value, "mode": _one_of("encode", "decode")}, {}),
    "@flatten": _fields({"value": _value, "separator": _filled_string}, {}),
    "@merge": _fields({"objects": _objects, "direction": _one_of("left", "right")}, {}),
    "@template": _directive_or_string,
    "@literal": _value,
    "@transform": _fields({"apply": _apply, "mapping": _directive_or_object}, {}),
    "@excludeWhenNull": _value,
    "@liquid": _liquid,
}


def _depth(value: Any) -> int:
    """Levels of objects and arrays, counted without recursion."""
    deepest = 0
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        inner, depth = pending.pop()
        deepest = max(deepest, depth)
        if depth > MAX_DEPTH:
            break
        items = inner.values() if isinstance(inner, dict) else inner
        pending.extend((each, depth + 1) for each in items if isinstance(each, (dict, list)))
    return deepest
