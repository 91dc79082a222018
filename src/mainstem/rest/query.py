"""Query strings of every official client, read into one nested value.

    dotted      pagination.count=3            groupBy.0=eventName       the reference, Go (arrays)
    bracketed   pagination[count]=3           groupBy[0]=eventName      TypeScript, Go (objects)
    repeated                                  userIds=a&userIds=b       Python
    JSON        pagination={"count": 3}       filter={"eventName": []}  Python (objects)
    literal     rules={'type': 'TRACK'}       repeated                  Python (arrays of objects)
    printed     rules=type='TRACK' version=1  repeated                  Python (arrays of objects, as models)
    commas                                    groupBy=a,b               the reference's wording

Source: Public API reference, "Pagination"; the query encoders of the SDKs for Go, TypeScript and Python.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from mainstem.errors import BadRequest

_MAX_PARAMETERS: Final = 20_000  # 2,000 rules of a tracking plan at three keys each, and room
_MAX_DEPTH: Final = 8
_MAX_INDEX_DIGITS: Final = 6
_PRINTED: Final = re.compile(r"""(\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s'"]+)(?:\s|\Z)""", re.DOTALL)


class Kinds(msgspec.Struct, frozen=True):
    """Which parameters are what: `lists` and `objects` by name, `lists` also within an object
    ("filter.eventName"); `comma_separated` are lists of words that hold no comma themselves, `records` lists of
    objects."""

    lists: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    comma_separated: frozenset[str] = frozenset()
    records: frozenset[str] = frozenset()


def parse_query(query: str, kinds: Kinds) -> dict[str, Any]:
    """Read a query string. Lists come out as lists whatever their encoding, objects and lists may come as JSON;
    scalars stay text. Raises BadRequest when there are too many parameters or they nest too deeply."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    if len(pairs) > _MAX_PARAMETERS:
        raise BadRequest(f"more than {_MAX_PARAMETERS} query parameters")
    root: dict[str, Any] = {}
    for raw_name, _, raw_value in pairs:
        path, text = _path(unquote_plus(raw_name)), unquote_plus(raw_value)
        _put(root, path, _read(path, text, kinds), merge=path[0] in kinds.objects)
    result = {name: _listed(value) for name, value in root.items()}
    for name in kinds.lists:
        _make_list(result, name.split("."), split=name in kinds.comma_separated)
    return result


def _path(name: str) -> list[str]:
    """`rules.0[type]` is ["rules", "0", "type"]; a name that cannot be split stands for itself."""
    parts = name.removesuffix("[]").replace("]", "").replace("[", ".").split(".")
    if len(parts) > _MAX_DEPTH:
        raise BadRequest(f"a query parameter nests deeper than {_MAX_DEPTH}")
    return parts if parts[0] else [name]


def _read(path: list[str], text: str, kinds: Kinds) -> Any:
    """What a parameter's text stands for. A field of a record, such as the name of an event, is always text: it
    may well begin with a bracket."""
    if path[0] in kinds.records:
        whole = len(path) == 1 or (len(path) == 2 and path[1].isdigit())
        return _record(text) if whole else text
    return _value(text) if path[0] in kinds.lists or path[0] in kinds.objects else text


def _record(text: str) -> Any:
    """An object, be it JSON, a Python dict, or a Python model as it prints itself: type='TRACK' version=1"""
    found, end = {}, 0
    while match := _PRINTED.match(text, end):
        found[match[1]], end = _literal(match[2]), match.end()
    return found if found and end == len(text) else _value(text)


def _value(text: str) -> Any:
    """JSON objects and arrays, and Python's printed dicts, are read; everything else is text."""
    if text[:1] in {"{", "["}:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return _literal(text)
    return text


def _literal(text: str) -> Any:
    """What a Python client printed, as JSON would have brought it; text that is no such thing stays text."""
    try:
        return msgspec.json.decode(msgspec.json.encode(ast.literal_eval(text)))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError):
        return text


def _put(root: dict[str, Any], path: list[str], value: Any, *, merge: bool) -> None:
    node = root
    for part in path[:-1]:
        inner = node.get(part)
        if not isinstance(inner, dict):
            inner = node[part] = {}
        node = inner
    last = path[-1]
    if last not in node:
        node[last] = value
    elif isinstance(node[last], dict) and isinstance(value, dict):
        node[last] = node[last] | value if merge else [node[last], value]
    elif not isinstance(node[last], dict):
        node[last] = [*_as_list(node[last]), *_as_list(value)]
    else:
        node[last] = value


def _listed(value: Any) -> Any:
    """Objects whose keys are all small numbers become lists, in the order of the numbers."""
    if isinstance(value, list):
        return [_listed(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value and all(key.isascii() and key.isdigit() and len(key) <= _MAX_INDEX_DIGITS for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(each) for key, each in value.items()}


def _make_list(values: dict[str, Any], path: list[str], *, split: bool) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        if not isinstance(inner, dict):
            return
        values = inner
    value = values.get(path[-1])
    if isinstance(value, str) and split:
        values[path[-1]] = value.split(",")
    elif value is not None:
        values[path[-1]] = _as_list(value)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
