"""The language of triggers, by which a mapping of an Actions destination says which events it takes.

    trigger = trigger.parse('type = "track" and event = "Order Completed"')
    trigger.matches({"type": "track", "event": "Order Completed"})     # True

It looks like FQL and is another language, defined by the one program that reads it: Segment's runner of actions.
What that does with a text is done here, oddities included, so that a mapping fires for the same events:

- Fields are type, event, name, userId and what lies in properties, traits and context. Anything else is skipped.
- Within a group the last of `and` and `or` joins all conditions. Parentheses make a group up to the first `)`,
  be it that of a function; so they do not nest. `!` counts before `contains` and `match` alone.
- Texts stand in double quotes; single quotes are part of the text. A bare word is a text, a number is compared as
  a number in properties, traits and context, and as text elsewhere.
- `match` is a test of the beginning when its pattern ends with `*`, else of the end, less the pattern's first letter.

The one difference: names that every JavaScript object inherits (`properties.toString`) are here absent unless sent.
Source: behaviour of @segment/destination-subscriptions 3.37.0 with @segment/fql-ts 1.10.1, held beside it by tests.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from mainstem.model.event import EVENT_TYPES

MAX_CHARACTERS: Final = 50_000

Matches = Callable[[dict[str, Any]], bool]
Test = Callable[[Any], bool]


class TriggerError(ValueError):
    """The text is no trigger. The message says why."""


class _Unreadable(Exception):
    """The runner would fail on this event."""


class Trigger:
    """A trigger that was read. Safe to share between threads."""

    __slots__ = ("matches", "text")

    def __init__(self, text: str, matches: Matches) -> None:
        self.text = text
        self.matches = matches
        """Whether an event fires it. Never raises."""


def parse(text: str) -> Trigger:
    """Read a trigger. Raises TriggerError."""
    return Trigger(text, _compiled_whole(_read(text)[0]))


def never(_event: dict[str, Any]) -> bool:
    """What a text that is no trigger does: match nothing."""
    return False


def faults(text: str) -> list[str]:
    """Why a mapping with this trigger would never send anything; empty when it may.

    Judgements: a text is not expected to begin with a quote, nor an event to be named `null`.
    """
    try:
        root, _ = _read(text)
    except TriggerError as error:
        return [str(error)]
    if any(_may_match(root, type_) for type_ in EVENT_TYPES):
        return []
    reasons = [reason for each in _conditions(root) if (reason := _impossible(each))]
    return reasons or ["no event fulfils all of its conditions"]


def warnings(text: str) -> list[str]:
    """What the trigger says and the runner reads otherwise; only of a trigger without faults."""
    root, notes = _read(text)
    return list(dict.fromkeys(notes + [reason for each in _conditions(root) if (reason := _impossible(each))]))


# ---- words

_WORD: Final = re.compile(r"(?:\\[\s\S]|[A-Za-z0-9_-])+")
_SIGNED: Final = re.compile(r"[-+0-9][0-9.]*")
_ENDS: Final = frozenset({"", " ", "\t", "\n", ",", "]", ")"})  # "" is the end of the text
_AFTER_WORD: Final = _ENDS | frozenset(".(=!")
_PUNCTUATION: Final = {".": "dot", "[": "bracket", "]": "bracket", ",": "comma", "(": "open", ")": "close"}
_NO_VALUES: Final = frozenset([*_PUNCTUATION, "=", "!=", "!", "<", "<=", ">", ">=", "and", "or"])
_RESERVED: Final = {"a": ("and", "conditional"), "o": ("or", "conditional"), "n": ("null", "null")}


class _Token(msgspec.Struct, frozen=True):
    """`kind` is word, operator, conditional, string, number, null, dot, bracket, comma, open, close or end;
    a string's value has its quotes."""

    kind: str
    value: str


_END: Final = _Token("end", "eos")  # the runner takes the end for a value of this text


def _tokens(text: str) -> list[_Token]:
    if len(text) > MAX_CHARACTERS:
        raise TriggerError(f"a trigger has at most {MAX_CHARACTERS} characters")
    units = text.encode("utf-16-le", "surrogatepass")
    code = "".join(chr(units[index] | units[index + 1] << 8) for index in range(0, len(units), 2))
    found: list[_Token] = []
    place = 0
    while place < len(code):
        if code[place] in " \t\n":
            place += 1
            continue
        token, place = _token(code, place)
        if token.kind == "word" and len(found) > 1 and found[-1].kind == "dot" and found[-2].kind == "word":
            found[-2:] = [_Token("word", f"{found[-2].value}.{token.value}")]
        else:
            found.append(token)
    return [*found, _END]


def _token(code: str, place: int) -> tuple[_Token, int]:
    char = code[place]
    if char in "!=<>":
        return _operator(code, place)
    if char in _RESERVED:
        return _reserved_word(code, place)
    if char in "_\\" or (char.isascii() and char.isalpha()):
        return _word(code, place)
    if char in "-+" or (char.isascii() and char.isdigit()):
        return _number_word(code, place)
    if char in "\"'":
        return _string(code, place)
    if char in _PUNCTUATION:
        return _Token(_PUNCTUATION[char], char), place + 1
    raise TriggerError(f"{char!r} is no character of the language")


def _operator(code: str, place: int) -> tuple[_Token, int]:
    char, next_char = code[place], code[place + 1 : place + 2]
    if char == "=":
        return _Token("operator", "="), place + 1
    if char == "!" and (next_char == "(" or (next_char.isascii() and next_char.isalpha())):
        return _Token("operator", "!"), place + 1
    if next_char == "=" and code[place + 2 : place + 3] in _ENDS:
        return _Token("operator", f"{char}="), place + 2
    if char == "!":
        raise TriggerError("after ! comes a function, a parenthesis, or = and a blank")
    return _Token("operator", char), place + 1


def _reserved_word(code: str, place: int) -> tuple[_Token, int]:
    """`and`, `or`, `null`, or another word with the same first letter. When less is left of the text than the
    reserved word is long, the runner takes the first letter and loses the rest."""
    word, kind = _RESERVED[code[place]]
    left = code[place : place + len(word)]
    if left == word and code[place + len(word) : place + len(word) + 1] in _ENDS:
        return _Token(kind, word), place + len(word)
    if len(left) < len(word) and _ENDS.isdisjoint(left[1:]):
        return _Token("word", left[0]), len(code)
    return _word(code, place)


def _string(code: str, place: int) -> tuple[_Token, int]:
    """A text in quotes. When no blank, comma or bracket follows, the runner takes its last quote for the first of
    another text."""
    end = code.find(code[place], place + 1)
    if end < 0:
        raise TriggerError(f"a text begins with {code[place]} and does not end")
    whole = code[place : end + 1].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _Token("string", whole), end + 1 if code[end + 1 : end + 2] in _ENDS else end


def _word(code: str, place: int) -> tuple[_Token, int]:
    found = _WORD.match(code, place)
    if found is None or code[found.end() : found.end() + 1] not in _AFTER_WORD:
        raise TriggerError(f"a blank is missing after the word at character {place + 1}")
    return _Token("word", re.sub(r"\\([\s\S])", r"\1", found[0])), found.end()


def _number_word(code: str, place: int) -> tuple[_Token, int]:
    found = _SIGNED.match(code, place)
    assert found is not None, "it begins with a sign or digit"
    is_cut = found[0].endswith(".") and code[found.end() : found.end() + 1] in _ENDS
    if found[0].count(".") > 1 or is_cut:
        raise TriggerError(f"{found[0]} is no number")
    return _Token("number", found[0]), found.end()


# ---- conditions

_FIELDS: Final = frozenset({"type", "event", "name", "userId", "properties", "traits", "context"})
_HOLDERS: Final = ("properties", "traits", "context")
_FUNCTIONS: Final = frozenset({"contains", "match"})
_SEPARATORS: Final = re.compile(r"[^\[.\]]+")


class _Condition(msgspec.Struct, frozen=True):
    """`path` is None for a field of the event itself, and what lies within `field` else; an empty path has no
    value. `raw` is the value as written."""

    field: str
    path: tuple[str, ...] | None
    operator: str
    value: str | float | bool | None
    raw: str


class _Group(msgspec.Struct, frozen=True):
    """Conditions joined by `and` or by `or`; None is one on which the runner fails, such as `()`."""

    operator: str
    children: tuple[_Condition | _Group | None, ...]


_Node = _Condition | _Group | None


def _read(text: str) -> tuple[_Condition | _Group, list[str]]:
    notes: list[str] = []
    root = _parsed(iter(_tokens(text)), notes)
    if root is None:
        raise TriggerError("it has no condition on type, event, name, userId, properties, traits or context")
    return root, notes


def _parsed(tokens: Iterator[_Token], notes: list[str]) -> _Node:
    """A group, up to the end of its tokens."""
    nodes: list[_Node] = []
    conditionals: list[str] = []
    negated = is_skipping = False
    for token in tokens:
        was_negated, negated = negated, token == _Token("operator", "!")
        if token.kind == "end":
            break
        if token.kind == "word" and token.value in _FUNCTIONS:
            nodes += _function(token.value, tokens, was_negated, notes)
            continue
        if was_negated:
            notes.append("! counts only before contains and match; elsewhere it is ignored")
        if token.kind == "word" and token.value.partition(".")[0] in _FIELDS:
            nodes += _comparison(token.value, tokens)
        elif token.kind == "word":
            is_skipping = token.value.lower() not in ("and", "or")
            notes.append(_note_on(token.value))
        elif token.kind == "open":
            nodes.append(_parsed(iter(_within(tokens)), notes))
        elif token.kind == "conditional":
            is_skipping = False
            conditionals.append(token.value)
        elif token.kind == "string" and not is_skipping:
            notes.append("a text outside of a condition is skipped; after a text comes a blank, a comma or a bracket")
    if len(set(conditionals)) > 1:
        notes.append(f"and and or are mixed: the last one, {conditionals[-1]}, joins all conditions of its group")
    if len(nodes) > 1:
        return _Group(conditionals[-1] if conditionals else "and", tuple(nodes))
    return nodes[0] if nodes else None


def _note_on(word: str) -> str:
    if word.lower() in ("and", "or"):
        return f"{word} is skipped: and and or are written in small letters"
    return f"{word} is no field that a trigger can test; the condition on it is skipped"


def _within(tokens: Iterator[_Token]) -> list[_Token]:
    """What stands before the next closing parenthesis."""
    inside: list[_Token] = []
    for token in tokens:
        if token.kind == "close":
            return [*inside, _END]
        inside.append(token)
    raise TriggerError("a parenthesis is not closed, or stands within another")


def _comparison(field: str, tokens: Iterator[_Token]) -> list[_Node]:
    operator, value = next(tokens, None), next(tokens, None)
    if operator is None or value is None:
        raise TriggerError(
            f"an operator and a value are missing after {field}; contains and match are the only functions"
        )
    return [_condition(field, operator.value, value)]


def _condition(name: str, operator: str, value: _Token) -> _Node:
    field = name.partition(".")[0]
    is_text = field in ("type", "event")
    if value.value == "null" and operator in ("=", "!=") and not is_text:
        operator = "not_exists" if operator == "=" else "exists"
    elif value.value in ("true", "false") and operator == "=" and not is_text and field != "name":
        operator = f"is_{value.value}"
    elif value.kind == "number" and operator in ("=", "!=") and field in _HOLDERS:
        operator = "number_equals" if operator == "=" else "number_not_equals"
    literal = _literal(value)
    if field in _HOLDERS:
        return _within_holder(field, name, operator, literal, value.value)
    return _Condition(field, None, operator, _text(literal), value.value)


def _within_holder(field: str, name: str, operator: str, value: str | float | bool, raw: str) -> _Node:
    """A condition on what lies at a path; None for a path of dots and brackets alone, on which the runner fails."""
    rest = name.removeprefix(f"{field}.")
    path = tuple(_SEPARATORS.findall(rest))
    return None if rest and not path else _Condition(field, path, operator, value, raw)


def _function(function: str, tokens: Iterator[_Token], negated: bool, notes: list[str]) -> list[_Node]:
    """A call; what stands where its parentheses and comma should is not looked at. Nothing for other fields."""
    _, name, _, value, _ = (next(tokens, None) for _ in range(5))
    if name is None or value is None:
        raise TriggerError(f"{function} is missing an argument")
    operator, text = "contains", _text(_literal(value))
    if function == "match":
        is_prefix = value.value.endswith('*"')
        if is_prefix == value.value.startswith('"*') and value.value != '"*"':
            notes.append(
                "match takes one * at the beginning or end: without, the first letter is lost; a second is a letter"
            )
        operator, text = ("starts_with", text[:-1]) if is_prefix else ("ends_with", text[1:])
    operator = f"not_{operator}" if negated else operator
    if name.value in ("event", "name", "userId"):
        return [_Condition(name.value, None, operator, text, value.value)]
    for holder in _HOLDERS:
        if name.value.startswith(holder):
            return [_within_holder(holder, name.value, operator, text, value.value)]
    return []


def _literal(token: _Token) -> str | float | bool:
    if token.kind == "string":
        return token.value.removeprefix('"').removesuffix('"')
    if token.kind == "number":
        return _number(token.value)
    if token.kind == "word" and token.value in ("true", "false"):
        return token.value == "true"
    return token.value


# ---- values, as JavaScript sees them

_NUMBERS: Final = frozenset({int, float})
_NUMERAL: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_INTEGER: Final = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+")
_INDEX: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_BLANKS: Final = " \t\n\r\v\f\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_EXACT: Final = 2**53


def _number(value: str | float | bool | None) -> float:
    if not isinstance(value, str):
        return math.nan if value is None else float(value)
    text = value.strip(_BLANKS)
    if not text:
        return 0.0
    if _NUMERAL.fullmatch(text):
        return float(text)
    if _INTEGER.fullmatch(text):
        return _double(int(text, 0))
    return {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}.get(text, math.nan)


def _text(value: str | float | bool | None) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "undefined"}[value]
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        written = format(Decimal(repr(value)), "f")
        return "0" if value == 0 else written.rstrip("0").rstrip(".") if "." in written else written
    digits, _, exponent = repr(value).partition("e")
    return f"{digits.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"


def _double(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _member(value: Any, key: str) -> Any:
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


# ---- conditions to functions


def _compiled_whole(root: _Condition | _Group) -> Matches:
    matches = _compiled(root)
    if all(_conditions(root, with_gaps=True)):
        return matches

    def matches_or_fails(event: dict[str, Any]) -> bool:
        try:
            return matches(event)
        except _Unreadable:
            return False

    return matches_or_fails


def _compiled(node: _Node) -> Matches:
    if node is None:
        return _gap
    if isinstance(node, _Condition):
        return _compiled_condition(node)
    children = [_compiled(each) for each in node.children]
    return _any(children) if node.operator == "or" else _all(children)


def _gap(_event: dict[str, Any]) -> bool:
    raise _Unreadable


def _all(children: Sequence[Matches]) -> Matches:
    if len(children) == 2:
        first, second = children
        return lambda event: first(event) and second(event)

    def conjunction(event: dict[str, Any]) -> bool:
        for child in children:  # noqa: SIM110  # a loop is twice as fast as all() over a generator
            if not child(event):
                return False
        return True

    return conjunction


def _any(children: Sequence[Matches]) -> Matches:
    if len(children) == 2:
        first, second = children
        return lambda event: first(event) or second(event)

    def disjunction(event: dict[str, Any]) -> bool:
        for child in children:  # noqa: SIM110  # as above
            if child(event):
                return True
        return False

    return disjunction


def _compiled_condition(condition: _Condition) -> Matches:
    make = _TESTS.get(condition.operator)
    if make is None:
        return never
    field, path = condition.field, condition.path
    if path is None:
        if condition.operator == "=":
            text = _text(condition.value)
            return lambda event: event.get(field) == text
        test = make(condition.value)
        return lambda event: test(event.get(field))
    test = make(condition.value)
    if not path:
        verdict = test(None)
        return lambda _: verdict
    if len(path) == 1:
        return _one_key(field, path[0], test)
    return _many_keys(field, path, test)


def _one_key(field: str, key: str, test: Test) -> Matches:
    def matches(event: dict[str, Any]) -> bool:
        holder = event.get(field)
        return test(holder.get(key) if type(holder) is dict else _member(holder, key))

    return matches


def _many_keys(field: str, path: Sequence[str], test: Test) -> Matches:
    def matches(event: dict[str, Any]) -> bool:
        value = event.get(field)
        for key in path:
            value = value.get(key) if type(value) is dict else _member(value, key)
        return test(value)

    return matches


def _equals(value: Any) -> Test:
    text = _text(value)
    return lambda actual: actual == text


def _differs(value: Any) -> Test:
    text = _text(value)
    return lambda actual: actual != text


def _numeric(holds: Callable[[float, float], bool]) -> Callable[[Any], Test]:
    def made(value: Any) -> Test:
        number = _number(value)

        def compares(actual: Any) -> bool:
            return type(actual) in _NUMBERS and holds(_double(actual), number)

        return compares

    return made


def _textual(holds: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    def made(value: Any) -> Test:
        text = _text(value)
        return lambda actual: type(actual) is str and holds(actual, text)

    return made


_TESTS: Final[Mapping[str, Callable[[Any], Test]]] = {
    "=": _equals,
    "!=": _differs,
    "number_equals": _numeric(lambda actual, number: actual == number),
    "number_not_equals": _numeric(lambda actual, number: actual != number),
    "<": _numeric(lambda actual, number: actual < number),
    "<=": _numeric(lambda actual, number: actual <= number),
    ">": _numeric(lambda actual, number: actual > number),
    ">=": _numeric(lambda actual, number: actual >= number),
    "contains": _textual(lambda actual, part: part in actual),
    "not_contains": _textual(lambda actual, part: part not in actual),
    "starts_with": _textual(str.startswith),
    "not_starts_with": _textual(lambda actual, part: not actual.startswith(part)),
    "ends_with": _textual(str.endswith),
    "not_ends_with": _textual(lambda actual, part: not actual.endswith(part)),
    "exists": lambda _: lambda actual: actual is not None,
    "not_exists": lambda _: lambda actual: actual is None,
    "is_true": lambda _: lambda actual: actual is True,
    "is_false": lambda _: lambda actual: actual is False,
}
"""By an operator's name, which may also be written as a bare word (`event starts_with "Order"`)."""


# ---- what never fires


def _conditions(node: _Node, *, with_gaps: bool = False) -> Iterator[Any]:
    if isinstance(node, _Group):
        for child in node.children:
            yield from _conditions(child, with_gaps=with_gaps)
    elif node is not None or with_gaps:
        yield node


def _may_match(node: _Node, type_: str) -> bool:
    """Whether an event of this type, whatever else it has, may match."""
    if node is None or (isinstance(node, _Condition) and _impossible(node)):
        return False
    if isinstance(node, _Condition):
        return node.field != "type" or _compiled_condition(node)({"type": type_})
    within = any if node.operator == "or" else all
    return within(_may_match(each, type_) for each in node.children)


def _impossible(condition: _Condition) -> str:
    """Why no event fulfils a condition; "" when one may."""
    name = ".".join((condition.field, *(condition.path or ())))
    operator, raw = condition.operator, condition.raw
    if operator == "in":
        return f"a trigger cannot test {name} with in; write conditions joined by or"
    if operator not in _TESTS:
        return f"{operator!r} after {name} is no operator"
    if raw == _END.value and operator == "=":
        return f"the value that {name} is compared with is missing"
    if raw in _NO_VALUES and operator == "=":
        return f"{name} is compared with {raw}, where a value should be"
    if raw.startswith("'") and operator in ("=", "contains", "starts_with", "ends_with"):
        return f'{raw} is in single quotes, which are part of the text; write "{raw[1:-1]}"'
    if raw == "null" and operator == "=":
        return f"{name} is compared with the text null; {name} cannot be tested for null"
    if operator in ("<", "<=", ">", ">=") and math.isnan(_number(condition.value)):
        return f"{name} is compared by size with {raw}, which is no number"
    is_type = name == "type" and not any(_compiled_condition(condition)({"type": each}) for each in EVENT_TYPES)
    return f"type is one of {', '.join(sorted(EVENT_TYPES))}, never {raw}" if is_type else ""
