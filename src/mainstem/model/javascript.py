"""Values as JavaScript sees them, for the rules whose source is a program written in it.

Source: ECMA-262, ToNumber, ToString, Number::toString; members of strings and arrays.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Final

MAX_SAFE_INTEGER: Final = 2**53 - 1
_NUMERAL: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_INTEGER: Final = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)  # no list is longer, and int() reads no text at length
_BLANKS: Final = " \t\n\r\v\f\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def to_number(value: str | float | bool | None) -> float:
    """What a value is where a number is needed; NaN for None, which is undefined, and for what is no number."""
    if not isinstance(value, str):
        return math.nan if value is None else float(value)
    text = value.strip(_BLANKS)
    if not text:
        return 0.0
    if _NUMERAL.fullmatch(text):
        return float(text)
    if _INTEGER.fullmatch(text):
        return to_double(int(text, 0))
    return {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}.get(text, math.nan)


def to_text(value: str | float | bool | None) -> str:
    """What a value is where a text is needed; None is undefined."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "undefined"}[value]
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return number_text(value)


def number_text(value: float) -> str:
    """A finite double as it is printed: 1.0 is 1, 1e-7 stays, 1e20 is written out, 1e21 is 1e+21."""
    if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER:
        return str(int(value))
    if 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    digits, _, exponent = repr(value).partition("e")
    return f"{digits}e{int(exponent):+d}"


def to_double(value: int | float) -> float:
    """The nearest double; infinite beyond their range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def member(value: Any, key: str) -> Any:
    """What lies at `key` of a value: nothing stays nothing, false stays false, 0 stays 0, "" stays ""."""
    if type(value) is dict:
        return value.get(key)
    if type(value) is list:
        return _element(value, len(value), key)
    if type(value) is str and value:
        units = value.encode("utf-16-le", "surrogatepass")
        return _element(_Units(units), len(units) // 2, key)
    return None if value else value


def _element(value: Any, length: int, key: str) -> Any:
    if key == "length":
        return length
    return value[int(key)] if _INDEX.fullmatch(key) and int(key) < length else None


class _Units:
    """The letters of a text as JavaScript counts them."""

    def __init__(self, units: bytes) -> None:
        self._units = units

    def __getitem__(self, index: int) -> str:
        return self._units[2 * index : 2 * index + 2].decode("utf-16-le", "surrogatepass")
