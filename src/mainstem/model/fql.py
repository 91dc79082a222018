"""FQL, the language of conditions on an event: parse once, then ask of each event whether it matches.

    query = fql.parse("type = 'track' and match(event, 'Order *')")
    query.matches({"type": "track", "event": "Order Completed"})     # True

What surprises the language when it meets an event (a function given a type that it does not take) raises
FqlRuntimeError, and the caller must then treat the event as not to be sent: a filter that protects personal
data fails closed. `and` and `or` stop at the first operand that decides, so what follows surprises nobody.
Source: FQL reference; the rules for what it leaves open stand in docs/reference/fql.md.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, Final

from mainstem.model.fql_syntax import (
    All,
    And,
    Call,
    Comparison,
    FqlError,
    ListOf,
    Literal,
    Node,
    Not,
    Or,
    Path,
    read,
)
from mainstem.model.glob import GlobError, compile_glob

__all__ = ["FqlError", "FqlRuntimeError", "Query", "canonical_text", "parse"]

Evaluate = Callable[[dict[str, Any]], Any]  # event -> value; may raise FqlRuntimeError


class FqlRuntimeError(Exception):
    """This event cannot be judged: do not send it. The message names types, never the event's values."""


class Query:
    """A parsed statement. Safe to share between threads; holds no state but itself."""

    __slots__ = ("_evaluate", "text")

    def __init__(self, text: str, evaluate: Evaluate) -> None:
        self.text = text
        self._evaluate = evaluate

    def matches(self, event: dict[str, Any]) -> bool:
        """Whether the statement is the boolean `true` for this event; any other value is no match.
        Raises FqlRuntimeError, and nothing else, when the event cannot be judged.
        """
        return self._evaluate(event) is True

    def value(self, event: dict[str, Any]) -> Any:
        """What the statement evaluates to: null, a boolean, number, string, list or object. Lists and objects
        may be parts of the event itself: do not change them. Raises FqlRuntimeError as `matches` does.
        """
        return self._evaluate(event)


def parse(text: str) -> Query:
    """Read a statement of at most 5 KB. Raises FqlError with the line and column of the fault."""
    return Query(text, _compile(read(text)))


def canonical_text(value: Any) -> str:
    """One text for a JSON value: strings as they are, numbers without exponent or trailing `.0` where they
    are whole, everything else as compact JSON with sorted keys.
    Raises FqlRuntimeError for what has no such text: thousands of digits, or of levels.
    """
    if type(value) is str:
        return value
    try:
        if type(value) is float:
            return str(int(value)) if value.is_integer() else repr(value)
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError):
        raise FqlRuntimeError(f"this {_kind(value)} has no text") from None


# ---- values

_KINDS: Final[Mapping[type, str]] = {
    NoneType: "null",
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "list",
    dict: "object",
}
_NUMBERS: Final = frozenset({int, float})


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "object")


def _same(left: Any, right: Any) -> bool:
    """Strict equality of JSON values: of one kind and equal, so neither 1 = true nor 1 = "1".
    Works on a list of pairs, since an event may nest deeper than Python's stack.
    """
    pairs = [(left, right)]
    while pairs:
        a, b = pairs.pop()
        kind = _kind(a)
        if kind != _kind(b):
            return False
        if kind == "list":
            if len(a) != len(b):
                return False
            pairs.extend(zip(a, b, strict=True))
        elif kind == "object":
            if a.keys() != b.keys():
                return False
            pairs.extend((a[key], b[key]) for key in a)
        elif a != b:
            return False
    return True


# ---- nodes to functions

# Source: the guide on moving to actions destinations; no other field goes by two names.
_ALIASES: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {("received_at",): ("receivedAt",)}


def _compile(node: Node) -> Evaluate:
    match node:
        case Literal(value=value):
            return lambda _: value
        case Path(segments=segments):
            return _path(_ALIASES.get(segments, segments))
        case ListOf(items=items):
            return _list([_compile(item) for item in items])
        case Call(function=function, arguments=arguments):
            return _call(function, arguments)
        case Not(operand=operand):
            return _not(_compile(operand))
        case And(operands=operands):
            return _and([_compile(operand) for operand in operands])
        case Or(operands=operands):
            return _or([_compile(operand) for operand in operands])
        case Comparison(operator=symbol, left=left, right=right):
            return _comparison(symbol, left, right)
        case All():
            return lambda _: True


def _path(segments: Sequence[str]) -> Evaluate:
    """The value at a path, null where there is none. One and two keys are what conditions mostly have."""
    if len(segments) == 1:
        key = segments[0]
        return lambda event: event.get(key)
    if len(segments) == 2:
        first, second = segments

        def two_keys(event: dict[str, Any]) -> Any:
            inner = event.get(first)
            return inner.get(second) if type(inner) is dict else None

        return two_keys

    def any_keys(event: dict[str, Any]) -> Any:
        value: Any = event
        for key in segments:
            if type(value) is not dict:
                return None
            value = value.get(key)
        return value

    return any_keys


def _list(items: Sequence[Evaluate]) -> Evaluate:
    return lambda event: [item(event) for item in items]


def _not(operand: Evaluate) -> Evaluate:
    def negation(event: dict[str, Any]) -> bool:
        value = operand(event)
        if value is None or type(value) is bool:
            return not value
        raise FqlRuntimeError(f"'!' takes no {_kind(value)}")

    return negation


def _and(operands: Sequence[Evaluate]) -> Evaluate:
    if len(operands) == 2:
        first, second = operands
        return lambda event: first(event) is True and second(event) is True

    def conjunction(event: dict[str, Any]) -> bool:
        for operand in operands:  # noqa: SIM110  # a loop is twice as fast as all() over a generator
            if operand(event) is not True:
                return False
        return True

    return conjunction


def _or(operands: Sequence[Evaluate]) -> Evaluate:
    if len(operands) == 2:
        first, second = operands
        return lambda event: first(event) is True or second(event) is True

    def disjunction(event: dict[str, Any]) -> bool:
        for operand in operands:  # noqa: SIM110  # as above
            if operand(event) is True:
                return True
        return False

    return disjunction


# ---- comparisons

_ORDERINGS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _comparison(symbol: str, left: Node, right: Node) -> Evaluate:
    if symbol == "in":
        return _in(left, right)
    if symbol in _ORDERINGS:
        if isinstance(right, Literal) and type(right.value) in _NUMBERS:
            return _than_number(_ORDERINGS[symbol], _compile(left), right.value)
        return _ordering(_ORDERINGS[symbol], _compile(left), _compile(right))
    equality = _equality(left, right)
    return equality if symbol == "=" else lambda event: not equality(event)


def _equality(left: Node, right: Node) -> Evaluate:
    if isinstance(left, Literal):
        left, right = right, left
    if isinstance(right, Literal):
        if type(right.value) is str and isinstance(left, Path) and len(left.segments) == 1:
            return _field_equals(_ALIASES.get(left.segments, left.segments)[0], right.value)
        return _equals_literal(_compile(left), right.value)
    one, other = _compile(left), _compile(right)
    return lambda event: _same(one(event), other(event))


def _field_equals(field: str, text: str) -> Evaluate:
    """The commonest of all conditions, in one call instead of two."""
    return lambda event: event.get(field) == text


def _equals_literal(operand: Evaluate, literal: Any) -> Evaluate:
    if literal is None or type(literal) is bool:
        return lambda event: operand(event) is literal
    if type(literal) is str:
        return lambda event: operand(event) == literal

    def equals_number(event: dict[str, Any]) -> bool:
        value = operand(event)
        return type(value) in _NUMBERS and bool(value == literal)

    return equals_number


def _ordering(holds: Callable[[Any, Any], bool], left: Evaluate, right: Evaluate) -> Evaluate:
    """Two numbers by size, two strings by code points; anything else is false.
    Source: FQL reference for numbers, the guide's comparison of timestamps for strings.
    """

    def ordering(event: dict[str, Any]) -> bool:
        a, b = left(event), right(event)
        if type(a) is str:
            return type(b) is str and holds(a, b)
        return type(a) in _NUMBERS and type(b) in _NUMBERS and holds(a, b)

    return ordering


def _than_number(holds: Callable[[Any, Any], bool], operand: Evaluate, number: Any) -> Evaluate:
    def ordering(event: dict[str, Any]) -> bool:
        value = operand(event)
        return type(value) in _NUMBERS and holds(value, number)

    return ordering


def _in(left: Node, right: Node) -> Evaluate:
    needle = _compile(left)
    if isinstance(right, ListOf) and all(isinstance(item, Literal) for item in right.items):
        members = {(_kind(item.value), item.value) for item in right.items if isinstance(item, Literal)}
        return lambda event: (_scalar_kind(value := needle(event)), value) in members
    haystack = _compile(right)

    def is_in(event: dict[str, Any]) -> bool:
        value, values = needle(event), haystack(event)
        kind = _scalar_kind(value)
        if type(values) is list:
            return any(kind == _kind(each) and value == each for each in values)
        if values is None:
            return False
        raise FqlRuntimeError(f"'in' takes no {_kind(values)} on its right")

    return is_in


def _scalar_kind(value: Any) -> str:
    kind = _kind(value)
    if kind in ("list", "object"):
        raise FqlRuntimeError(f"'in' takes no {kind} on its left")
    return kind


# ---- functions


def _call(function: str, arguments: Sequence[Node]) -> Evaluate:
    if function == "match" and isinstance(pattern := arguments[1], Literal):
        return _match_literal(_compile(arguments[0]), pattern.value)
    if function == "contains" and isinstance(part := arguments[1], Literal) and type(part.value) is str:
        return _contains_literal(_compile(arguments[0]), part.value)
    apply = FUNCTIONS[function]
    operands = [_compile(argument) for argument in arguments]
    if len(operands) == 1:
        only = operands[0]
        return lambda event: apply(only(event))
    first, second = operands
    return lambda event: apply(first(event), second(event))


def _contains_literal(subject: Evaluate, part: str) -> Evaluate:
    def contains(event: dict[str, Any]) -> bool:
        value = subject(event)
        return part in value if type(value) is str else _contains(value, part)

    return contains


def _match_literal(subject: Evaluate, pattern: Any) -> Evaluate:
    if type(pattern) is not str:
        return lambda event: _match(subject(event), pattern)
    fits = compile_glob(pattern)

    def match_pattern(event: dict[str, Any]) -> bool:
        value = subject(event)
        if type(value) is str:
            return fits(value)
        return _no_text("match", value)

    return match_pattern


def _no_text(function: str, value: Any) -> bool:
    """What a test on a string answers for something that is none."""
    if value is None:
        return False
    raise _surprise(function, value)


def _surprise(function: str, value: Any) -> FqlRuntimeError:
    return FqlRuntimeError(f"{function} takes no {_kind(value)}")


def _contains(text: Any, part: Any) -> bool:
    if type(text) is list:
        return False  # it looks for a part of a string, not for an element
    if type(text) is str and type(part) is str:
        return part in text
    return _no_text("contains", part if type(text) is str else text)


def _match(text: Any, pattern: Any) -> bool:
    if type(text) is not str or type(pattern) is not str:
        return _no_text("match", pattern if type(text) is str else text)
    try:
        return compile_glob(pattern)(text)
    except GlobError as error:
        raise FqlRuntimeError(str(error)) from None


def _length(value: Any) -> int:
    if type(value) is str:
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if value is None:
        return 0
    if type(value) is list:
        return len(value)
    raise _surprise("length", value)


def _casing(function: str, change: Callable[[str], str]) -> Callable[[Any], str | None]:
    def cased(value: Any) -> str | None:
        if type(value) is str:
            return change(value)
        if value is None:
            return None
        raise _surprise(function, value)

    return cased


def _capitalised(text: str) -> str:
    return " ".join(word[:1].title() + word[1:] for word in text.split(" "))


def _bool(value: Any) -> bool:
    if type(value) is dict:
        raise _surprise("bool", value)
    return bool(value) and not (type(value) is str and value.lower() == "false")


def _string(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is dict:
        raise _surprise("string", value)
    return canonical_text(value)


_NUMERAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _number(value: Any) -> int | float:
    if type(value) is int or type(value) is float:
        return value
    if value is None:
        return 0
    if type(value) is not str:
        raise _surprise("number", value)
    numeral = _NUMERAL.fullmatch(value)
    number = float(value) if numeral else math.inf
    if numeral is None or not math.isfinite(number):
        raise FqlRuntimeError("number was given a string that is no number")
    is_whole = numeral[1] is None and numeral[2] is None
    return int(value) if is_whole and len(value) <= 400 else number


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "contains": _contains,
    "length": _length,
    "lowercase": _casing("lowercase", str.lower),
    "uppercase": _casing("uppercase", str.upper),
    "snakecase": _casing("snakecase", lambda text: text.replace(" ", "_")),
    "kebabcase": _casing("kebabcase", lambda text: text.replace(" ", "-")),
    "titlecase": _casing("titlecase", _capitalised),
    "typeof": _kind,
    "match": _match,
    "bool": _bool,
    "string": _string,
    "number": _number,
}
