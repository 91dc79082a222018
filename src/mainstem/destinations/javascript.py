"""JSON exactly as JavaScript prints it.

Receivers check a webhook's signature as the documentation shows: they parse the body and sign what
JSON.stringify makes of it. That only works if the body already is what JSON.stringify would make of it.
Source: Webhooks Destination, "Authentication"; ECMA-262, JSON.stringify, Number::toString, OrdinaryOwnPropertyKeys.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import msgspec

_MAX_SAFE_INTEGER: Final = 2**53 - 1
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MAX_INDEX: Final = 2**32 - 2
_NOTABLE: Final = re.compile(
    rb"[:,\[]-?\d+(?:\.0|(?:\.\d+)?e-?\d+)[,}\]]"  # an integral float, or an exponent
    rb"|[:,\[]-?\d{16}"  # digits that a double may not hold
    rb'|[{,]"(?:0|[1-9]\d{0,9})":'  # a key that JavaScript takes for an array index
)
_encode: Final = msgspec.json.Encoder().encode


def stringify(value: dict[str, Any]) -> bytes:
    """UTF-8 of JSON.stringify(JSON.parse(json of value)): compact, numbers as doubles print, index-like keys
    first. Nested so deep that it cannot be walked, it is left as it is."""
    plain = _encode(value)
    if not _NOTABLE.search(plain):
        return plain
    try:
        return _encode(_as_javascript(value))
    except RecursionError:
        return plain


def _as_javascript(value: Any) -> Any:
    if isinstance(value, dict):
        keys = _in_property_order(value)
        return {key: _as_javascript(value[key]) for key in keys}
    if isinstance(value, list):
        return [_as_javascript(each) for each in value]
    if isinstance(value, float):
        return msgspec.Raw(number(value).encode())
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_SAFE_INTEGER:
        return _as_double(value)
    return value


def _as_double(value: int) -> Any:
    try:
        return msgspec.Raw(number(float(value)).encode())
    except OverflowError:
        return None  # JSON.parse reads Infinity, which JSON.stringify prints as null


def _in_property_order(value: dict[str, Any]) -> list[str]:
    indexes = [key for key in value if _INDEX.fullmatch(key) and int(key) <= _MAX_INDEX]
    if not indexes:
        return list(value)
    first = set(indexes)
    return [*sorted(indexes, key=int), *(key for key in value if key not in first)]


def number(value: float) -> str:
    """A finite double as JavaScript prints it: 1.0 is 1, 1e-7 stays, 1e20 is written out, 1e21 is 1e+21."""
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    digits, _, exponent = repr(value).partition("e")
    return f"{digits}e{int(exponent):+d}"
