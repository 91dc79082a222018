"""Query strings of every official client, read into one nested value.

    dotted      pagination.count=3            groupBy.0=eventName       the reference, Go (arrays)
    bracketed   pagination[count]=3           groupBy[0]=eventName      TypeScript, Go (objects)
    repeated                                  userIds=a&userIds=b       Python
    JSON        pagination={"count": 3}       filter={"eventName": []}  Python (objects)
    literal     rules={'type': 'TRACK'}       repeated                  Python (arrays of objects)
    commas                                    groupBy=a,b               the reference's wording

Source: Public API reference, "Pagination"; the query encoders of the SDKs for Go, TypeScript and Python.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from mainstem.errors import BadRequest

_MAX_PARAMETERS: Final = 20_000  # 2,000 rules of a tracking plan at three keys each, and room
_MAX_DEPTH: Final = 8
_BY_COMMAS: Final = frozenset({"groupBy"})  # elsewhere a comma belongs to the value, such as an event's name


def parse_query(query: str, *, lists: Collection[str] = (), objects: Collection[str] = ()) -> dict[str, Any]:
    """Read a query string. Parameters named in `lists` come out as lists whatever their encoding, those in
    `objects` may come as JSON; scalars stay text.
    Raises BadRequest when there are too many or they nest too deeply."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    if len(pairs) > _MAX_PARAMETERS:
        raise BadRequest(f"more than {_MAX_PARAMETERS} query parameters")
    root: dict[str, Any] = {}
    for raw_name, _, raw_value in pairs:
        path, text = _path(unquote_plus(raw_name)), unquote_plus(raw_value)
        _put(root, path, _value(text) if path[0] in lists or path[0] in objects else text)
    result: dict[str, Any] = _listed(root)
    for name in lists:
        if name in result:
            result[name] = _as_list(result[name], split=name in _BY_COMMAS)
    return result


def _path(name: str) -> list[str]:
    """`rules.0[type]` is ["rules", "0", "type"]; a name that cannot be split stands for itself."""
    parts = name.removesuffix("[]").replace("]", "").replace("[", ".").split(".")
    if len(parts) > _MAX_DEPTH:
        raise BadRequest(f"a query parameter nests deeper than {_MAX_DEPTH}")
    return parts if parts[0] else [name]


def _value(text: str) -> Any:
    """JSON objects and arrays, and Python's printed dicts, are read; everything else is text."""
    if text[:1] in {"{", "["}:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return _literal(text)
    return text


def _literal(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    return value if isinstance(value, (dict, list)) else text


def _put(root: dict[str, Any], path: list[str], value: Any) -> None:
    node = root
    for part in path[:-1]:
        inner = node.get(part)
        if not isinstance(inner, dict):
            inner = node[part] = {}
        node = inner
    last = path[-1]
    if last in node and not isinstance(node[last], dict):
        node[last] = [*_as_list(node[last]), value]
    elif last in node and isinstance(value, dict):
        node[last] = [node[last], value]
    else:
        node[last] = value


def _listed(value: Any) -> Any:
    """Objects whose keys are all numbers become lists, in the order of the numbers."""
    if isinstance(value, list):
        return [_listed(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value and all(key.isascii() and key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(each) for key, each in value.items()}


def _as_list(value: Any, *, split: bool = False) -> list[Any]:
    if isinstance(value, list):
        return value
    if split and isinstance(value, str) and "," in value:
        return value.split(",")
    return [value]
