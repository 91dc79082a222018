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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from mainstem.model.event import EVENT_TYPES
from mainstem.model.javascript import member, to_double, to_number, to_text
from mainstem.model.trigger_syntax import END, NO_VALUES, Condition, Group, Node, TriggerError, read

__all__ = ["Matches", "Trigger", "TriggerError", "faults", "never", "parse", "warnings"]

_NUMBERS: Final = frozenset({int, float})
Matches = Callable[[dict[str, Any]], bool]
Test = Callable[[Any], bool]


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
    return Trigger(text, _compiled_whole(read(text)[0]))


def never(_event: dict[str, Any]) -> bool:
    """What a text that is no trigger does: match nothing."""
    return False


def faults(text: str) -> list[str]:
    """Why a mapping with this trigger would never send anything; empty when it may.

    Judgements: a text is not expected to begin with a quote, nor an event to be named `null`.
    """
    try:
        root, _ = read(text)
    except TriggerError as error:
        return [str(error)]
    if any(_may_match(root, type_) for type_ in EVENT_TYPES):
        return []
    reasons = [reason for each in _conditions(root) if (reason := _impossible(each))]
    return reasons or ["no event fulfils all of its conditions"]


def warnings(text: str) -> list[str]:
    """What the trigger says and the runner reads otherwise; only of a trigger without faults."""
    root, notes = read(text)
    return list(dict.fromkeys(notes + [reason for each in _conditions(root) if (reason := _impossible(each))]))


# ---- conditions to functions


def _compiled_whole(root: Condition | Group) -> Matches:
    matches = _compiled(root)
    if all(_conditions(root, with_gaps=True)):
        return matches

    def matches_or_fails(event: dict[str, Any]) -> bool:
        try:
            return matches(event)
        except _Unreadable:
            return False

    return matches_or_fails


def _compiled(node: Node) -> Matches:
    if node is None:
        return _gap
    if isinstance(node, Condition):
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


def _compiled_condition(condition: Condition) -> Matches:
    make = _TESTS.get(condition.operator)
    if make is None:
        return never
    field, path = condition.field, condition.path
    if path is None:
        if condition.operator == "=":
            text = to_text(condition.value)
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
        return test(holder.get(key) if type(holder) is dict else member(holder, key))

    return matches


def _many_keys(field: str, path: Sequence[str], test: Test) -> Matches:
    def matches(event: dict[str, Any]) -> bool:
        value = event.get(field)
        for key in path:
            value = value.get(key) if type(value) is dict else member(value, key)
        return test(value)

    return matches


def _equals(value: Any) -> Test:
    text = to_text(value)
    return lambda actual: actual == text


def _differs(value: Any) -> Test:
    text = to_text(value)
    return lambda actual: actual != text


def _numeric(holds: Callable[[float, float], bool]) -> Callable[[Any], Test]:
    def made(value: Any) -> Test:
        number = to_number(value)

        def compares(actual: Any) -> bool:
            return type(actual) in _NUMBERS and holds(to_double(actual), number)

        return compares

    return made


def _textual(holds: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    def made(value: Any) -> Test:
        text = to_text(value)
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


def _may_match(node: Node, type_: str) -> bool:
    """Whether an event of this type, whatever else it has, may match."""
    if node is None or (isinstance(node, Condition) and _impossible(node)):
        return False
    if isinstance(node, Condition):
        return node.field != "type" or _compiled_condition(node)({"type": type_})
    within = any if node.operator == "or" else all
    return within(_may_match(each, type_) for each in node.children)


def _impossible(condition: Condition) -> str:
    """Why no event fulfils a condition; "" when one may."""
    name = ".".join((condition.field, *(condition.path or ())))
    operator, raw = condition.operator, condition.raw
    if operator == "in":
        return f"a trigger cannot test {name} with in; write conditions joined by or"
    if operator not in _TESTS:
        return f"{operator!r} after {name} is no operator"
    if raw == END.value and operator == "=":
        return f"the value that {name} is compared with is missing"
    if raw in NO_VALUES and operator == "=":
        return f"{name} is compared with {raw}, where a value should be"
    if raw.startswith("'") and operator in ("=", "contains", "starts_with", "ends_with"):
        return f'{raw} is in single quotes, which are part of the text; write "{raw[1:-1]}"'
    if raw == "null" and operator == "=":
        return f"{name} is compared with the text null; {name} cannot be tested for null"
    if operator in ("<", "<=", ">", ">=") and math.isnan(to_number(condition.value)):
        return f"{name} is compared by size with {raw}, which is no number"
    is_type = name == "type" and not any(_compiled_condition(condition)({"type": each}) for each in EVENT_TYPES)
    return f"type is one of {', '.join(sorted(EVENT_TYPES))}, never {raw}" if is_type else ""


def _conditions(node: Node, *, with_gaps: bool = False) -> Iterator[Any]:
    if isinstance(node, Group):
        for child in node.children:
            yield from _conditions(child, with_gaps=with_gaps)
    elif node is not None or with_gaps:
        yield node
