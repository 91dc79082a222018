"""The syntax of triggers: a text becomes tokens, and these a tree of conditions, as Segment's runner of actions reads
them. What the language is stands in `trigger`.

Source: behaviour of @segment/fql-ts 1.10.1, held beside it by tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from mainstem.model.javascript import to_number, to_text

MAX_CHARACTERS: Final = 50_000


class TriggerError(ValueError):
    """The text is no trigger. The message says why."""


# ---- words

_WORD: Final = re.compile(r"(?:\\[\s\S]|[A-Za-z0-9_-])+")
_SIGNED: Final = re.compile(r"[-+0-9][0-9.]*")
_ENDS: Final = frozenset({"", " ", "\t", "\n", ",", "]", ")"})  # "" is the end of the text
_AFTER_WORD: Final = _ENDS | frozenset(".(=!")
_PUNCTUATION: Final = {".": "dot", "[": "bracket", "]": "bracket", ",": "comma", "(": "open", ")": "close"}
NO_VALUES: Final = frozenset([*_PUNCTUATION, "=", "!=", "!", "<", "<=", ">", ">=", "and", "or"])
_RESERVED: Final = {"a": ("and", "conditional"), "o": ("or", "conditional"), "n": ("null", "null")}


class _Token(msgspec.Struct, frozen=True):
    """`kind` is word, operator, conditional, string, number, null, dot, bracket, comma, open, close or end;
    a string's value has its quotes."""

    kind: str
    value: str


END: Final = _Token("end", "eos")  # the runner takes the end for a value of this text


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
    return [*found, END]


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


class Condition(msgspec.Struct, frozen=True):
    """`path` is None for a field of the event itself, and what lies within `field` else; an empty path has no
    value. `raw` is the value as written."""

    field: str
    path: tuple[str, ...] | None
    operator: str
    value: str | float | bool | None
    raw: str


class Group(msgspec.Struct, frozen=True):
    """Conditions joined by `and` or by `or`; None is one on which the runner fails, such as `()`."""

    operator: str
    children: tuple[Condition | Group | None, ...]


Node = Condition | Group | None


def read(text: str) -> tuple[Condition | Group, list[str]]:
    """The tree of a text, and what of the text the runner reads otherwise than it is written. Raises TriggerError."""
    notes: list[str] = []
    root = _parsed(iter(_tokens(text)), notes)
    if root is None:
        raise TriggerError("it has no condition on type, event, name, userId, properties, traits or context")
    return root, notes


def _parsed(tokens: Iterator[_Token], notes: list[str]) -> Node:
    """A group, up to the end of its tokens."""
    nodes: list[Node] = []
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
        return Group(conditionals[-1] if conditionals else "and", tuple(nodes))
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
            return [*inside, END]
        inside.append(token)
    raise TriggerError("a parenthesis is not closed, or stands within another")


def _comparison(field: str, tokens: Iterator[_Token]) -> list[Node]:
    operator, value = next(tokens, None), next(tokens, None)
    if operator is None or value is None:
        raise TriggerError(
            f"an operator and a value are missing after {field}; contains and match are the only functions"
        )
    return [_condition(field, operator.value, value)]


def _condition(name: str, operator: str, value: _Token) -> Node:
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
    return Condition(field, None, operator, to_text(literal), value.value)


def _within_holder(field: str, name: str, operator: str, value: str | float | bool, raw: str) -> Node:
    """A condition on what lies at a path; None for a path of dots and brackets alone, on which the runner fails."""
    rest = name.removeprefix(f"{field}.")
    path = tuple(_SEPARATORS.findall(rest))
    return None if rest and not path else Condition(field, path, operator, value, raw)


def _function(function: str, tokens: Iterator[_Token], negated: bool, notes: list[str]) -> list[Node]:
    """A call; what stands where its parentheses and comma should is not looked at. Nothing for other fields."""
    _, name, _, value, _ = (next(tokens, None) for _ in range(5))
    if name is None or value is None:
        raise TriggerError(f"{function} is missing an argument")
    operator, text = "contains", to_text(_literal(value))
    if function == "match":
        is_prefix = value.value.endswith('*"')
        if is_prefix == value.value.startswith('"*') and value.value != '"*"':
            notes.append(
                "match takes one * at the beginning or end: without, the first letter is lost; a second is a letter"
            )
        operator, text = ("starts_with", text[:-1]) if is_prefix else ("ends_with", text[1:])
    operator = f"not_{operator}" if negated else operator
    if name.value in ("event", "name", "userId"):
        return [Condition(name.value, None, operator, text, value.value)]
    for holder in _HOLDERS:
        if name.value.startswith(holder):
            return [_within_holder(holder, name.value, operator, text, value.value)]
    return []


def _literal(token: _Token) -> str | float | bool:
    if token.kind == "string":
        return token.value.removeprefix('"').removesuffix('"')
    if token.kind == "number":
        return to_number(token.value)
    if token.kind == "word" and token.value in ("true", "false"):
        return token.value == "true"
    return token.value
