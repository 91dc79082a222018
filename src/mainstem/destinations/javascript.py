"""JSON exactly as JavaScript prints it.

Receivers check a webhook's signature as the documentation shows: they parse the body and sign what
JSON.stringify makes of it. That only works if the body already is what JSON.stringify would make of it.
Source: Webhooks Destination, "Authentication"; ECMA-262, JSON.stringify, Number::toString, OrdinaryOwnPropertyKeys.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from mainstem.model.javascript import MAX_SAFE_INTEGER, number_text

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MAX_INDEX: Final = 2**32 - 2
_NUMBER: Final = re.compile(
    rb"[:,\[]-?\d+(?:\.0|(?:\.\d+)?e-?\d+)[,}\]]"  # an integral float, or an exponent
    rb"|[:,\[]-?\d{16}"  # digits that a double may not hold
)
_INDEX_KEY: Final = re.compile(rb'[{,]"(?:0|[1-9]\d{0,9})":')  # JavaScript takes such a key for an array index
_encode: Final = msgspec.json.Encoder().encode


def stringify(value: dict[str, Any]) -> bytes:
    """UTF-8 of JSON.stringify(JSON.parse(json of value)): compact, numbers as doubles print, index-like keys
    first. Nested so deep that it cannot be walked, it is left as it is."""
    plain = _encode(value)
    try:
        if _INDEX_KEY.search(plain):
            value = _in_property_order(value)
        elif not _NUMBER.search(plain):
            return plain
        return _encode(_with_numbers(value))
    except RecursionError:
        return plain


def _with_numbers(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: each if type(each) is str else _with_numbers(each) for key, each in value.items()}
    if kind is list:
        return [each if type(each) is str else _with_numbers(each) for each in value]
    if kind is float:
        return msgspec.Raw(number_text(value).encode())
    if kind is int and abs(value) > MAX_SAFE_INTEGER:
        return _as_double(value)
    return value


def _as_double(value: int) -> Any:
    try:
        return msgspec.Raw(number_text(float(value)).encode())
    except OverflowError:
        return None  # JSON.parse reads Infinity, which JSON.stringify prints as null


def _in_property_order(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_property_order(each) for each in value]
    if not isinstance(value, dict):
        return value
    indexes = [key for key in value if _INDEX.fullmatch(key) and int(key) <= _MAX_INDEX]
    first = set(indexes)
    keys = [*sorted(indexes, key=int), *(key for key in value if key not in first)]
    return {key: _in_property_order(value[key]) for key in keys}
