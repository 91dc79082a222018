import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.model import fql
from mainstem.model.fql_syntax import PARAMETERS
from model.json_values import objects, values
from model.statements import trees, written


def nested(levels: int) -> list[Any]:
    outermost: list[Any] = []
    for _ in range(levels):
        outermost = [outermost]
    return outermost


EVENT: dict[str, Any] = {
    "type": "track",
    "event": "Button Clicked",
    "userId": "u-1",
    "receivedAt": "2023-04-21T20:00:00.000Z",
    "received_at": "1999",
    "context": {"library": {"name": "analytics.js", "version": "1.0"}, "page": {"received_at": "x"}},
    "properties": {
        "features": ["discounts", "dark-mode"],
        "price": "5",
        "total": 12.5,
        "count": 1,
        "flag": True,
        "off": False,
        "none": None,
        "list": [1, [True, None], {"a": 1}],
        "mixed": [1, True, "1", None],
        "empty": [],
        "ones": [1],
        "trues": [True],
        "a.b": "dotted",
        "huge": 10**400,
        "deep": nested(900),
        "text": "yes",
    },
}


def value_of(statement: str) -> Any:
    return fql.parse(statement).value(EVENT)


TRUE = {
    # acceptance cases of the reference
    "a missing userId has length 0": "length( traits.userId ) < 1",
    "a number in a string is unequal to the number": "properties.price != 5",
    "the length of a string is its bytes": "length('ア') = 3",
    "and binds tighter than or": "type = 'track' or type = 'page' and event = 'X'",
    # null
    "a missing path is null": "context.nothing.here = null",
    "a path through a string is null": "event.name = null",
    "a path through a list is null": "properties.features.length = null",
    "a path through null is null": "properties.none.a.b = null",
    "a null value is null": "properties.none = null",
    "not null is true": "!properties.none",
    "null as an operand of or is false": "properties.none or type = 'track'",
    "an object is not null": "properties != null",
    # equality
    "an integer equals the same decimal": "properties.count = 1.0",
    "true equals true": "properties.flag = true",
    "false equals false": "properties.off = false",
    "null is not false": "properties.none != false",
    "lists are equal element by element": "properties.features = ['discounts', 'dark-mode']",
    "empty lists are equal": "properties.empty = []",
    "a field equals itself, however deep": "properties.deep = properties.deep",
    "objects are equal key by key": "context.library = context.library",
    "different objects are unequal": "context.library != context.page",
    "large integers are compared exactly": "properties.huge > 9",
    # order
    "numbers compare by size": "properties.total > 9 and properties.total <= 12.5 and properties.total >= 12.5",
    "strings compare by character code": "'B' < 'a' and 'z' < 'ア'",
    "a string and a number are in no order": "!(properties.price > 1) and !(properties.price <= 1)",
    "a boolean and a number are in no order": "!(properties.flag >= 0) and !(0 <= properties.flag)",
    "null is in no order": "!(properties.none < 1) and !(properties.none >= 0) and !(null <= null)",
    "lists are in no order": "!(properties.features >= properties.features)",
    # received_at
    "received_at is receivedAt": "(received_at >= '2023-04-21T19:55:00.933Z')",
    "received_at below the top is itself": "context.page.received_at = 'x'",
    "no other field has a second name": "user_id = null and sent_at = null and received_at.x = null",
    # in
    "a string is in a list of the event": "'dark-mode' in properties.features",
    "a field is in a written list": "type in ['page', 'track']",
    "null is in a list that holds it": "properties.none in [1, null] and null in properties.mixed",
    "a boolean is in a list that holds it": "true in properties.mixed and properties.flag in [true]",
    "1 is not in a list of true": "!(1 in [true]) and !(true in [1]) and !(properties.flag in [1, '1'])",
    "1 is not in a field's list of true": "!(properties.count in properties.trues)",
    "true is not in a field's list of 1": "!(properties.flag in properties.ones)",
    "a string is not in a list of its number": "!(properties.price in [5])",
    "1.0 is in a list of 1": "properties.count in [1.0] and 1.0 in properties.mixed",
    "nothing is in a missing list": "!('a' in properties.missing)",
    "a written list may hold fields": "'track' in [event, type]",
    "a written list may hold lists": "!('a' in [['a']])",
    # conditions
    "only the boolean true is true to and": "!((properties.text and true)) and !((properties.count and true))",
    "only the boolean true is true to or": "!((properties.text or properties.count))",
    "and stops at the first false operand": "!((type = 'page' and lowercase(properties.total) = 'x'))",
    "or stops at the first true operand": "type = 'track' or lowercase(properties.total) = 'x'",
    "a parenthesised condition is a value": "(type = 'track') = true",
    # functions
    "contains finds a part": "contains(event, 'Click')",
    "contains minds case": "!contains(event, 'click')",
    "contains finds the empty string": "contains(event, '')",
    "contains of a list is false": "!contains(properties.features, 'discounts')",
    "contains of null is false": "!contains(properties.none, 'a') and !contains(event, properties.none)",
    "match takes its pattern from a field too": "match('Button Clicked', event)",
    "match of null is false": "!match(properties.none, '*') and !match(event, null)",
    "match covers the whole string": "!match(event, 'Button')",
    "the length of a list is its elements": "length(properties.features) = 2",
    "the length of null is 0": "length(null) = 0",
    "lowercase of null is null": "lowercase(null) = null and titlecase(properties.none) = null",
    "functions nest": "snakecase(lowercase(event)) = 'button_clicked'",
    "uppercase knows letters outside ASCII": "uppercase('é') = 'É'",
    "titlecase leaves the other letters": "titlecase('iPhone  and TV') = 'IPhone  And TV'",
    "only the space is replaced": r"kebabcase('a	b c') = 'a	b-c'",
    "typeof names every kind": "typeof('') = 'string' and typeof(1.5) = 'number' and typeof([]) = 'list'"
    " and typeof(true) = 'bool' and typeof(null) = 'null' and typeof(context) = 'object'",
    "bool of something is true": "bool('x') and bool(1) and bool([null]) and bool('0') and bool(true)",
    "bool of nothing is false": "!bool('') and !bool(0) and !bool([]) and !bool(null) and !bool('False')",
    "string of a whole number has no decimals": "string(properties.count) = '1' and string(3.0) = '3'",
    "string of a decimal is its shortest form": "string(properties.total) = '12.5'",
    "string of a boolean is its word": "string(properties.flag) = 'true'",
    "string of null is empty": "string(null) = ''",
    "string of a list is JSON": "string(properties.list) = '[1,[true,null],{\"a\":1}]'",
    "number reads a string": "number('-3.25') = -3.25 and number('007') = 7 and number('2E2') = 200",
    "number of null is 0": "number(null) = 0",
    "number of a number is itself": "number(properties.total) = 12.5",
}  # fmt: skip


@pytest.mark.parametrize("statement", TRUE.values(), ids=TRUE.keys())
def test_the_event_matches(statement: str) -> None:
    assert fql.parse(statement).matches(EVENT) is True


FALSE = {
    "a number in a string does not equal the number": "properties.price = 5",
    "1 is not true": "properties.count = true",
    "true is not 1": "properties.flag = 1",
    "the empty string is not null": "'' = null",
    "lists of different order differ": "properties.features = ['dark-mode', 'discounts']",
    "lists of different length differ": "properties.features = ['discounts']",
    "a list of true differs from a list of 1": "[true] = [1]",
    "a list of 1 differs from a list of '1'": "[1] = ['1']",
    "a list is not null": "properties.empty = null",
    "a string alone is no condition": "properties.text",
    "a number alone is no condition": "properties.count",
    "an object alone is no condition": "properties",
    "null alone is no condition": "null",
    "the word false": "false",
    "and binds tighter than or": "type = 'page' or type = 'track' and event = 'X'",
}


@pytest.mark.parametrize("statement", FALSE.values(), ids=FALSE.keys())
def test_this_is_no_match(statement: str) -> None:
    assert fql.parse(statement).matches(EVENT) is False


def test_a_number_in_a_string_does_not_match_the_number_and_is_unequal_to_it() -> None:
    event = {"properties": {"price": "5"}}
    assert not fql.parse("properties.price = 5").matches(event)
    assert fql.parse("properties.price != 5").matches(event)


def test_match_covers_the_whole_of_a_text() -> None:
    assert not fql.parse('match(event, "Button")').matches({"event": "Button Clicked"})
    assert fql.parse('match(event, "Button*")').matches({"event": "Button Clicked"})


def test_the_length_of_a_text_is_its_bytes() -> None:
    assert fql.parse("length('ア') = 3").matches({})


UNDECIDED = {
    "contains of a number": ("contains(properties.total, '1')", "contains takes no number"),
    "contains of an object": ("contains(context, 'a')", "contains takes no object"),
    "contains of a part that is no string": ("contains(event, properties.count)", "contains takes no number"),
    "match of a list": ("match(properties.features, '*')", "match takes no list"),
    "match with a pattern that is no string": ("match(event, properties.flag)", "match takes no bool"),
    "length of a number": ("length(properties.total) = 1", "length takes no number"),
    "length of an object": ("length(context) > 0", "length takes no object"),
    "casing of a number": ("uppercase(properties.total) = 'A'", "uppercase takes no number"),
    "titlecase of a list": ("titlecase(properties.features) = 'A'", "titlecase takes no list"),
    "bool of an object": ("bool(context)", "bool takes no object"),
    "string of an object": ("string(context) = ''", "string takes no object"),
    "number of a word": ("number(event) = 0", "a string that is no number"),
    "number of a boolean": ("number(properties.flag) = 1", "number takes no bool"),
    "number of a list": ("number(properties.features) = 1", "number takes no list"),
    "number of text that is nearly one": ("number('1_000') = 1000", "no number"),
    "number of text with space": ("number(' 1') = 1", "no number"),
    "number of text out of range": ("number('1e999') > 0", "no number"),
    "not of a string": ("!properties.text", "'!' takes no string"),
    "not of a number": ("!properties.count", "'!' takes no number"),
    "in a string": ("'a' in event", "'in' takes no string on its right"),
    "in an object": ("'a' in context", "'in' takes no object on its right"),
    "a list in a list": ("properties.features in [1]", "'in' takes no list on its left"),
    "an object in a list": ("context in properties.features", "'in' takes no object on its left"),
}


@pytest.mark.parametrize(("statement", "why"), UNDECIDED.values(), ids=UNDECIDED.keys())
def test_a_surprise_leaves_the_event_undecided(statement: str, why: str) -> None:
    with pytest.raises(fql.FqlRuntimeError, match=why):
        fql.parse(statement).matches(EVENT)


def test_a_pattern_of_the_event_that_is_malformed_leaves_it_undecided() -> None:
    query = fql.parse("match(event, properties.pattern)")
    assert query.matches({"event": "abc", "properties": {"pattern": "a*"}})
    for pattern in ("[", "x" * 6_000):
        with pytest.raises(fql.FqlRuntimeError):
            query.matches({"event": "abc", "properties": {"pattern": pattern}})


def test_messages_never_repeat_what_the_event_holds() -> None:
    secret = "ann@example.com"
    for statement in ("number(userId) = 1", "!userId", "'a' in userId", "length(traits) = 1", "match('a', pattern)"):
        with pytest.raises(fql.FqlRuntimeError) as surprise:
            fql.parse(statement).matches({"userId": secret, "traits": {"email": secret}, "pattern": f"[{secret}"})
        assert secret not in str(surprise.value)


def test_an_event_nested_deeper_than_the_stack_is_still_judged() -> None:
    event = {"a": nested(5_000), "b": nested(5_000), "c": nested(5_001)}
    assert fql.parse("a = b and a != c and !(1 in a)").matches(event)
    with pytest.raises(fql.FqlRuntimeError, match="no text"):
        fql.parse("string(a) = ''").matches(event)


def test_digits_without_end_are_undecided_or_compared_but_never_crash() -> None:
    event = {"a": 10**5_000, "b": "9" * 5_000}
    assert fql.parse("a > 1").matches(event)
    for statement in ("string(a) = ''", "number(b) > 1"):
        with pytest.raises(fql.FqlRuntimeError):
            fql.parse(statement).matches(event)


def test_a_query_says_its_text_and_may_be_asked_again() -> None:
    query = fql.parse(" type = 'track' ")
    assert query.text == " type = 'track' "
    assert [query.matches({"type": kind}) for kind in ("track", "page", "track")] == [True, False, True]


def test_all_matches_even_an_empty_event() -> None:
    assert fql.parse("all").matches({}) is True


def test_the_field_named_all_can_be_asked_for() -> None:
    assert fql.parse(r"\all").matches({"all": True}) is True
    assert fql.parse(r"\all").matches({}) is False


VALUES = {
    "lowercase(properties.text)": "yes",
    "uppercase('United States')": "UNITED STATES",
    "properties.features": ["discounts", "dark-mode"],
    "context.library": {"name": "analytics.js", "version": "1.0"},
    "[properties.count, 'a', properties.missing]": [1, "a", None],
    "length(event)": 14,
    "properties.missing": None,
    "type = 'track'": True,
    "all": True,
}


@pytest.mark.parametrize(("statement", "value"), VALUES.items(), ids=VALUES.keys())
def test_a_statement_has_a_value(statement: str, value: Any) -> None:
    assert value_of(statement) == value


def test_every_function_of_the_syntax_is_there() -> None:
    assert fql.FUNCTIONS.keys() == PARAMETERS.keys()


# ---- whatever the statement and the event


def judged(query: fql.Query, event: dict[str, Any]) -> bool | None:
    """True, False, or None for undecided. Any other exception fails the test."""
    try:
        return query.matches(event)
    except fql.FqlRuntimeError:
        return None


@settings(max_examples=200)
@given(trees, objects)
def test_any_statement_judges_any_event_without_changing_it(tree: Any, event: dict[str, Any]) -> None:
    before = copy.deepcopy(event)
    query = fql.parse(written(tree))
    verdict = judged(query, event)
    assert verdict in (True, False, None)
    assert judged(query, event) is verdict
    assert event == before


ONE_ARGUMENT = [f"{name}(a)" for name, takes in PARAMETERS.items() if len(takes) == 1]
TWO_OPERANDS = ["contains(a, b)", "match(a, b)", "a in b", "a = b", "a > b", "a <= b", "a and b", "a or b"]
WITH_CONSTANTS = ["!(a)", "match(a, 'x*')", "a in [1, 'a', null, true]", "'a' in a", "a = 1", "a = 'a'", "a = true"]
QUERIES = [fql.parse(statement) for statement in ONE_ARGUMENT + TWO_OPERANDS + WITH_CONSTANTS]


@given(a=values, b=values)
def test_functions_and_operators_take_or_refuse_any_value(a: Any, b: Any) -> None:
    for query in QUERIES:
        assert judged(query, {"a": a, "b": b}) in (True, False, None)


@given(values, values)
def test_unequal_is_the_negation_of_equal(a: Any, b: Any) -> None:
    event = {"a": a, "b": b}
    assert fql.parse("a = b").matches(event) is not fql.parse("a != b").matches(event)
    assert fql.parse("a = b").matches(event) is fql.parse("b = a").matches(event)
    assert fql.parse("a = a").matches(event)


@given(st.none() | st.booleans() | st.integers() | st.text(max_size=4), st.lists(values, max_size=5))
def test_in_is_equality_with_an_element(value: Any, elements: list[Any]) -> None:
    equal = any(fql.parse("a = b").matches({"a": value, "b": each}) for each in elements)
    assert fql.parse("a in b").matches({"a": value, "b": elements}) is equal


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_made_a_string_and_back_is_the_same(number: float) -> None:
    assert fql.parse("number(string(a)) = a").matches({"a": number})


@given(st.booleans())
def test_a_boolean_made_a_string_and_back_is_the_same(flag: bool) -> None:
    assert fql.parse("bool(string(a)) = a").matches({"a": flag})


@given(st.integers(-(2**53), 2**53))
def test_equal_numbers_have_one_text(number: int) -> None:
    assert fql.canonical_text(number) == fql.canonical_text(float(number)) == str(number)
