"""The trigger language, as the runner of actions reads it. `test_trigger_beside_segments` holds it beside that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.model import fql, trigger
from mainstem.model.event import EVENT_TYPES
from mainstem.model.trigger import TriggerError
from model.json_values import objects

TRACK = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u1",
    "anonymousId": "a1",
    "properties": {
        "total": 20,
        "rate": 0.5,
        "plan": "pro",
        "coupon": None,
        "gift": True,
        "zero": 0,
        "empty": "",
        "items": [{"sku": "s1"}, {"sku": "s2"}],
        "address": {"city": "Oslo"},
        "quoted": "'pro'",
    },
    "context": {"library": {"name": "analytics.js"}},
}
PAGE = {"type": "page", "name": "Home", "properties": {"url": "/"}}
IDENTIFY = {"type": "identify", "userId": "u1", "traits": {"email": "a@b.example", "age": "5"}}


def fires(text: str, event: dict[str, Any]) -> bool:
    return trigger.parse(text).matches(event)


@pytest.mark.parametrize(
    ("text", "event", "verdict"),
    [
        # fields
        ('type = "track"', TRACK, True),
        ('type = "page"', TRACK, False),
        ('event = "Order Completed"', TRACK, True),
        ('name = "Home"', PAGE, True),
        ('userId = "u1"', TRACK, True),
        ('properties.plan = "pro"', TRACK, True),
        ('properties.address.city = "Oslo"', TRACK, True),
        ('traits.email = "a@b.example"', IDENTIFY, True),
        ('context.library.name = "analytics.js"', TRACK, True),
        ('type = "track" and anonymousId = "nobody"', TRACK, True),  # skipped: no field of triggers
        # and, or
        ('type = "track" and event = "Order Completed"', TRACK, True),
        ('type = "track" and event = "Other"', TRACK, False),
        ('type = "page" or event = "Order Completed"', TRACK, True),
        ('type = "page" or type = "screen"', TRACK, False),
        ('type = "track" and event = "A" or event = "B"', TRACK, True),  # the last operator joins all: three-way or
        ('event = "Order Completed" or type = "page" and userId = "u1"', TRACK, False),  # three-way and
        ('type = "track" event = "Other"', TRACK, False),  # without an operator: and
        ('type = "track" and (event = "A" or event = "Order Completed")', TRACK, True),
        ('type = "page" and (event = "A" or event = "Order Completed")', TRACK, False),
        # a function in parentheses ends them, and the rest joins the group around
        ('type = "page" and (contains(event, "A") or event = "Order Completed")', TRACK, True),
        ('(event = "A" or contains(event, "Order")) and type = "track"', TRACK, True),
        # negation
        ('!(type = "track")', TRACK, True),
        ('!(type = "page")', TRACK, False),
        ('type = "track" and !contains(event, "Order")', TRACK, False),
        ('type = "track" and !contains(event, "Viewed")', TRACK, True),
        ('!match(event, "Order*")', TRACK, False),
        ('!contains(properties.missing, "x")', TRACK, False),
        # texts
        ("type = 'track'", TRACK, False),
        ("properties.quoted = 'pro'", TRACK, True),  # the quotes are part of it
        ("type = track", TRACK, True),
        ("properties.plan = pro", TRACK, True),
        ('properties.empty = ""', TRACK, True),
        ("event = an", {"event": "a"}, True),  # the end of the text cuts what might have become `and`
        ('type = "track" OR event = "A"', TRACK, False),  # skipped, and without an operator it is and
        ('type = "track"and event = "A"', TRACK, True),  # the last quote begins another text, which is skipped
        # numbers
        ("properties.total = 20", TRACK, True),
        ("properties.total = 20.0", TRACK, True),
        ('properties.total = "20"', TRACK, False),
        ("traits.age = 5", IDENTIFY, False),
        ("properties.total != 21", TRACK, True),
        ("properties.missing != 21", TRACK, False),
        ("properties.total > 19", TRACK, True),
        ("properties.total >= 20", TRACK, True),
        ("properties.total < -1", TRACK, False),
        ("properties.rate <= 0.5", TRACK, True),
        ('properties.total > "19"', TRACK, True),
        ("properties.plan > 1", TRACK, False),
        ("properties.gift > 0", TRACK, False),
        ("event = 5", {"event": "5"}, True),
        ("event = 5", {"event": 5}, False),
        ("event = 0.00001", {"event": "0.00001"}, True),
        ("event = 0.0000001", {"event": "1e-7"}, True),
        ("event = 1000000000000000000000", {"event": "1e+21"}, True),
        # unlike
        ('properties.plan != "pro"', TRACK, False),
        ('properties.missing != "pro"', TRACK, True),
        ("properties.gift != true", TRACK, True),
        ("properties.gift = true", TRACK, True),
        ("properties.gift = false", TRACK, False),
        ('properties.gift = "true"', TRACK, False),
        # null
        ("properties.plan != null", TRACK, True),
        ("properties.coupon = null", TRACK, True),
        ("properties.missing = null", TRACK, True),
        ("userId != null", TRACK, True),
        ("userId = null", PAGE, True),
        ("name = null", TRACK, True),
        ("event = null", PAGE, False),
        ("event != null", PAGE, True),
        # functions
        ('contains(event, "Completed")', TRACK, True),
        ("contains(properties.total, 20)", TRACK, False),
        ('contains(type, "track") and type = "track"', TRACK, True),  # not a field of functions: skipped
        ('match(event, "Order*")', TRACK, True),
        ('match(event, "*Completed")', TRACK, True),
        ('match(event, "Completed")', TRACK, True),  # without a star: the end, less the first letter
        ('match(event, "*der*")', TRACK, False),  # begins with "*der"
        ('match(event, "*")', TRACK, True),
        ('event contains "Order"', TRACK, True),
        ('event starts_with "Order"', TRACK, True),
        # what lies in lists and texts
        ("properties.items.length = 2", TRACK, True),
        ("properties.plan.length = 3", TRACK, True),
        ('properties.items\\.0\\.sku = "s1"', TRACK, True),
        ("properties.zero.deeper = 0", TRACK, True),  # nothing lies in 0, which stays what it is
        # unsupported
        ('properties.plan in ["pro", "team"]', TRACK, False),
        ("type =", TRACK, False),
        ("type = ", {"type": "eos"}, True),  # the end of the text counts as the text eos
        ('type = "track" or ()', TRACK, True),
        ('type = "track" and ()', TRACK, False),
        ("properties = null", TRACK, True),
    ],
)
def test_a_trigger_fires_as_the_runner_of_actions_says(text: str, event: dict[str, Any], verdict: bool) -> None:
    assert fires(text, event) is verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all",
        "()",
        "anonymousId != null",
        "length(event) > 3",
        '(type = "track"',
        '((type = "track"))',
        "type",
        "contains(event",
        'type!="track"',
        'type = "track',
        'type = "track" && event = "A"',
        'type = "track" \r\nand event = "A"',
        "properties.total = 1.2.3",
        "properties.total = 5.",
        "type = b\\",
        "properties.a<5",
    ],
)
def test_what_is_no_trigger_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(TriggerError) as caught:
        trigger.parse(text)
    assert trigger.faults(text) == [str(caught.value)]
    assert str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type = 'track'", "single quotes"),
        ("type = \"track\" and event = 'Order'", "single quotes"),
        ("contains(event, 'Order')", "single quotes"),
        ("match(event, 'Order*')", "single quotes"),
        ("type =", "missing"),
        ('properties.plan in ["pro"]', "joined by or"),
        ('event like "Order"', "no operator"),
        ("event = null", "null"),
        ('type = "trak"', "alias, group, identify"),
        ('type = "track" and event == "Order"', "where a value should be"),
        ('type = "track" and type = "page"', "all of its conditions"),
        ('properties.total > "much"', "no number"),
        ('type = "track" and ()', "all of its conditions"),
        ("type is_true 1", "no operator|alias"),
    ],
)
def test_a_trigger_that_can_never_fire_is_a_fault_with_its_reason(text: str, reason: str) -> None:
    trigger.parse(text)
    assert any(any(part in each for part in reason.split("|")) for each in trigger.faults(text))


@pytest.mark.parametrize(
    "text",
    [
        'type = "track"',
        'type = "track" and event != null',
        'type != "track"',
        "type = \"track\" or type = 'page'",
        "properties.plan != 'x'",
        'type = "page" or type = "screen"',
        'type = "track" and event = "A" or event = "B"',
        '!(type = "track")',
    ],
)
def test_a_trigger_that_may_fire_has_no_fault(text: str) -> None:
    assert trigger.faults(text) == []


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ('type = "track" and event = "A"', 0),
        ('type = "track" and event = "A" or event = "B"', 1),
        ('!(type = "track")', 1),
        ('type = "track" and anonymousId = "a"', 1),
        ("type = \"track\" or type = 'page'", 1),
        ('type = "track"and event = "A"', 1),
        ('type = "track" AND event = "A"', 1),
        ('match(event, "A")', 1),
        ('match(event, "*A*")', 1),
        ('match(event, "A*") and match(event, "*A") and match(event, "*")', 0),
        ('type = "track" and !contains(event, "A")', 0),
    ],
)
def test_what_the_runner_reads_otherwise_than_written_gives_a_warning(text: str, warnings: int) -> None:
    assert len(trigger.warnings(text)) == warnings


def test_a_text_that_is_a_filter_with_precedence_is_one_flat_and_as_a_trigger() -> None:
    event = {"type": "track", "event": "X"}
    condition = "type = 'page' or type = 'track' and event = 'X'"
    assert fql.parse(condition).matches(event)
    assert not fires(condition.replace("'", '"'), event)
    assert trigger.faults(condition.replace("'", '"')) == ["no event fulfils all of its conditions"]


def test_a_trigger_has_at_most_50_000_characters() -> None:
    many = " or ".join(['type = "track"'] * 2_700)
    assert fires(many, TRACK)
    with pytest.raises(TriggerError, match="50000"):
        trigger.parse(many + " " * 5_000)


words = st.sampled_from(
    ["type", "event", "properties.a", "traits.b.c", "context", "userId", "=", "!=", "<", ">=", "in", "and", "or",
     "(", ")", "!", "contains", "match", ",", '"track"', "'x'", '"a*"', "5", "-1.5", "null", "true", "[", "]", "\\"]
)  # fmt: skip


@given(st.lists(words, max_size=12).map(" ".join) | st.text(max_size=40), objects)
def test_no_text_and_no_event_makes_it_fail_otherwise(text: str, event: dict[str, Any]) -> None:
    try:
        read = trigger.parse(text)
    except TriggerError:
        assert trigger.faults(text)
        return
    assert read.matches(event) in (True, False)


plain = st.sampled_from([None, True, 0, 5, -1.5, "", "A", "track", "a@b.example", [], {"c": 1}])
events = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(EVENT_TYPES))},
    optional={
        **dict.fromkeys(["event", "userId"], plain),
        **dict.fromkeys(["properties", "traits", "context"], st.dictionaries(st.sampled_from("abc"), plain)),
    },
)


@given(st.lists(words, max_size=12).map(" ".join), events)
def test_what_has_a_fault_does_not_fire(text: str, event: dict[str, Any]) -> None:
    if not trigger.faults(text):
        return
    try:
        read = trigger.parse(text)
    except TriggerError:
        return
    assert not read.matches(event)
