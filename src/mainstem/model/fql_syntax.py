"""The syntax of FQL: a statement's text becomes a tree of nodes, or an FqlError that says where and why.

    expression := and { "or" and }          and := not { "and" not }        not := "!" not | comparison
    comparison := term [ ( "=" | "!=" | ">" | ">=" | "<" | "<=" | "in" ) term ]
    term       := path | string | number | "true" | "false" | "null" | list | call | "(" expression ")"
    list       := "[" [ term { "," term } ] "]"         call := name "(" [ term { "," term } ] ")"
    path       := segment { "." segment }

The whole statement may also be the word `all`.
Source: FQL reference; how text falls into tokens follows the published lexer's tests. Judgements: what `!`,
comparison, `and` and `or` bind like without parentheses (`!a = b` negates the comparison), and that `AND`
and `OR` are read too, because the reference's own example for previewing a filter writes `AND`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

import msgspec

from mainstem.model.glob import GlobError, compile_glob

MAX_STATEMENT_BYTES: Final = 5 * 1024
MAX_DEPTH: Final = 64


class FqlError(ValueError):
    """A statement cannot be read. `line` and `column` count from 1, in characters."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"{message} (line {line}, column {column})")
        self.message = message
        self.line = line
        self.column = column


class Literal(msgspec.Struct, frozen=True):
    """A string, number, boolean or null written into the statement."""

    value: str | int | float | bool | None


class Path(msgspec.Struct, frozen=True):
    """A field of the event, outermost key first."""

    segments: tuple[str, ...]


class ListOf(msgspec.Struct, frozen=True):
    """A list written into the statement."""

    items: tuple[Node, ...]


class Call(msgspec.Struct, frozen=True):
    """A function of the language with as many arguments as it takes."""

    function: str
    arguments: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True):
    """`!operand`"""

    operand: Node


class Comparison(msgspec.Struct, frozen=True):
    """`operator` is one of = != > >= < <= in."""

    operator: str
    left: Node
    right: Node


class And(msgspec.Struct, frozen=True):
    """At least two operands."""

    operands: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True):
    """At least two operands."""

    operands: tuple[Node, ...]


class All(msgspec.Struct, frozen=True):
    """The statement `all`: every event."""


Node = Literal | Path | ListOf | Call | Not | Comparison | And | Or | All

PARAMETERS: Final = {
    "contains": ("string", "string"),
    "length": ("list or string",),
    "lowercase": ("string",),
    "uppercase": ("string",),
    "snakecase": ("string",),
    "kebabcase": ("string",),
    "titlecase": ("string",),
    "typeof": ("any value",),
    "match": ("string", "string"),
    "bool": ("any value",),
    "string": ("any value",),
    "number": ("number or string",),
}  # what each parameter takes; null is taken everywhere


def read(text: str) -> Node:
    """Return the tree of a statement of at most 5 KB in UTF-8, nested at most 64 levels deep.
    Raises FqlError for anything else, never another exception.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_STATEMENT_BYTES:
        raise FqlError(f"a statement holds at most {MAX_STATEMENT_BYTES} bytes")
    parser = _Parser(text)
    return All() if parser.is_all() else parser.statement()


class _Token(msgspec.Struct, frozen=True):
    """`kind` is "word", "string", "number", "end", or the punctuation or operator itself. `plain` words have
    no escapes; `alone` ones are plain and followed by a space, a comma, a closing bracket or the end."""

    kind: str
    text: str
    start: int
    plain: bool = False
    alone: bool = False

    def is_word(self, *words: str) -> bool:
        return self.plain and self.text in words


_SPACE: Final = re.compile(r"[ \t\n]*")
_WORD_AFTER_DOT: Final = re.compile(r"(?:[A-Za-z0-9_-]|\\.)+", re.DOTALL)
_WORD: Final = re.compile(r"(?:[A-Za-z_]|\\.)(?:[A-Za-z0-9_-]|\\.)*", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)*\.?")
_OPERATOR: Final = re.compile(r"!=|>=|<=|[=<>!.,()\[\]]")
_ENDS_WORD: Final = frozenset(" \t\n,])")
_NEGATABLE: Final = re.compile(r"[A-Za-z(]")
_ASCII_DIGITS: Final = frozenset("0123456789")


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _fail(text: str, offset: int, message: str) -> NoReturn:
    raise FqlError(message, *_position(text, offset))


def _tokens(text: str) -> Iterator[_Token]:
    """Cut the statement into tokens, the last of kind "end"."""
    at, after_dot = 0, False
    while True:
        start = _end_of(_SPACE, text, at)
        if start == len(text):
            yield _Token("end", "", start)
            return
        # A segment after a dot may start with a digit or dash; anywhere else that would be a number.
        word = (_WORD_AFTER_DOT if after_dot and start == at else _WORD).match(text, start)
        token = _word(text, word) if word else _other(text, start)
        yield token
        at = word.end() if word else start + len(token.text)
        after_dot = token.kind == "."


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _word(text: str, word: re.Match[str]) -> _Token:
    written = word.group()
    plain = "\\" not in written
    alone = plain and (word.end() == len(text) or text[word.end()] in _ENDS_WORD)
    return _Token("word", _ESCAPE.sub(r"\1", written), word.start(), plain, alone)


def _other(text: str, start: int) -> _Token:
    character = text[start]
    if character in "'\"":
        return _string(text, start)
    if character in _ASCII_DIGITS or character in "+-":
        return _number(text, start)
    operator = _OPERATOR.match(text, start)
    if operator is None:
        _fail(text, start, _why_illegal(character))
    token = _Token(operator.group(), operator.group(), start)
    if token.kind == "!" and not _NEGATABLE.match(text, start + 1):
        _fail(text, start, "'!' must stand right before a letter or '('")
    return token


def _why_illegal(character: str) -> str:
    if character == "\\":
        return "the statement ends after a backslash"
    return f"{character!r} cannot stand outside a string; in a field's name escape it with a backslash"


def _string(text: str, start: int) -> _Token:
    end = text.find(text[start], start + 1)
    if end < 0:
        _fail(text, start, "the string is not closed")
    return _Token("string", text[start : end + 1], start)


def _number(text: str, start: int) -> _Token:
    number = _NUMBER.match(text, start)
    if number is None:
        _fail(text, start, "a sign must be followed by digits")
    written = number.group()
    if written.endswith("."):
        _fail(text, start, "a decimal point must be followed by digits")
    if written.count(".") > 1:
        _fail(text, start, "a number has one decimal point at most")
    return _Token("number", written, start)


_OPENS_TERM: Final = frozenset({"string", "number", "(", "[", "word"})
_COMPARISONS: Final = frozenset({"=", "!=", ">", ">=", "<", "<="})


class _Parser:
    """Recursive descent over the tokens, one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._rest = list(_tokens(text))[::-1]
        self._depth = 0

    def is_all(self) -> bool:
        return len(self._rest) == 2 and self._next.is_word("all")

    def statement(self) -> Node:
        if self._next.kind == "end":
            self._refuse("the statement is empty")
        node = self._expression()
        if self._next.kind != "end":
            self._refuse(f"expected an operator or the end, found {_shown(self._next)}")
        return node

    @property
    def _next(self) -> _Token:
        return self._rest[-1]

    def _take(self) -> _Token:
        return self._rest.pop()

    def _refuse(self, message: str, token: _Token | None = None) -> NoReturn:
        _fail(self._text, (token or self._next).start, message)

    def _expect(self, kind: str) -> None:
        if self._next.kind != kind:
            self._refuse(f"expected {kind!r}, found {_shown(self._next)}")
        self._take()

    def _nested(self, rule: Callable[[], Node]) -> Node:
        """Read one level deeper. Bounded so that no statement exhausts the stack, here or when it is run."""
        if self._depth == MAX_DEPTH:
            self._refuse(f"nested more than {MAX_DEPTH} levels deep")
        self._depth += 1
        node = rule()
        self._depth -= 1
        return node

    def _expression(self) -> Node:
        operands = self._chain(self._conjunction, "or")
        return operands[0] if len(operands) == 1 else Or(operands)

    def _conjunction(self) -> Node:
        operands = self._chain(self._negation, "and")
        return operands[0] if len(operands) == 1 else And(operands)

    def _chain(self, rule: Callable[[], Node], word: str) -> tuple[Node, ...]:
        operands = [rule()]
        while self._next.is_word(word, word.upper()):
            self._take()
            operands.append(rule())
        return tuple(operands)

    def _negation(self) -> Node:
        if self._next.kind != "!":
            return self._comparison()
        self._take()
        return Not(self._nested(self._negation))

    def _comparison(self) -> Node:
        left = self._term()
        token = self._next
        if token.kind not in _COMPARISONS and not token.is_word("in"):
            return left
        self._take()
        right = self._term()
        if token.text == "in" and isinstance(right, Literal):
            self._refuse("the right side of 'in' must be a list or a field", token)
        return Comparison(token.text, left, right)

    def _term(self) -> Node:
        token = self._take()
        if token.kind not in _OPENS_TERM:
            self._refuse(f"expected a value, found {_shown(token)}", token)
        match token.kind:
            case "string":
                return Literal(token.text[1:-1])
            case "number":
                return Literal(self._value_of(token))
            case "(":
                node = self._nested(self._expression)
                self._expect(")")
                return node
            case "[":
                return self._nested(lambda: ListOf(self._terms_until("]")))
        return self._named(token)

    def _value_of(self, token: _Token) -> int | float:
        if not math.isfinite(float(token.text)):
            self._refuse("the number is too large", token)
        try:
            return float(token.text) if "." in token.text else int(token.text)
        except ValueError:  # Python bounds the digits that int() reads, leading zeros included
            self._refuse("the number has too many digits", token)

    def _terms_until(self, closing: str) -> tuple[Node, ...]:
        terms: list[Node] = []
        while self._next.kind != closing:
            if terms:
                self._expect(",")
            terms.append(self._term())
        self._take()
        return tuple(terms)

    def _named(self, token: _Token) -> Node:
        """A word at the start of a term: a constant, a call or a path."""
        if self._next.kind == "(":
            self._take()
            return self._nested(lambda: self._call(token))
        if token.alone and token.text in ("and", "or"):
            self._refuse(f"expected a value, found {_shown(token)}", token)
        if token.alone and token.text == "null":
            return Literal(None)
        if token.is_word("true", "false") and self._next.kind != ".":
            return Literal(token.text == "true")
        segments = [token.text]
        while self._next.kind == ".":
            self._take()
            if self._next.kind != "word":
                self._refuse(f"expected a field's name after '.', found {_shown(self._next)}")
            segments.append(self._take().text)
        return Path(tuple(segments))

    def _call(self, name: _Token) -> Call:
        parameters = PARAMETERS.get(name.text)
        if parameters is None:
            self._refuse(f"there is no function {name.text!r}", name)
        arguments = self._terms_until(")")
        if len(arguments) != len(parameters):
            takes = f"{len(parameters)} argument{'s' if len(parameters) > 1 else ''}"
            self._refuse(f"{name.text} takes {takes}, not {len(arguments)}", name)
        for argument, parameter in zip(arguments, parameters, strict=True):
            if isinstance(argument, Literal) and not _takes(parameter, argument.value):
                self._refuse(f"{name.text} takes {parameter}, not {argument.value!r}", name)
        if name.text == "match":
            self._check_pattern(arguments[1], name)
        return Call(name.text, arguments)

    def _check_pattern(self, pattern: Node, name: _Token) -> None:
        if isinstance(pattern, Literal) and isinstance(pattern.value, str):
            try:
                compile_glob(pattern.value)
            except GlobError as error:
                self._refuse(str(error), name)


def _takes(parameter: str, literal: str | float | bool | None) -> bool:
    """What a call can never make sense of is refused when it is written, not event by event."""
    if literal is None or parameter == "any value":
        return True
    return isinstance(literal, str) or (parameter == "number or string" and not isinstance(literal, bool))


def _shown(token: _Token) -> str:
    if token.kind == "end":
        return "the end of the statement"
    return repr(token.text if len(token.text) <= 40 else token.text[:40] + "…")
