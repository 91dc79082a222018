"""The six calls of the Spec as a caller writes them, and what a webhook must receive of each.

Source: Segment Spec, "Track", "Identify", "Page", "Screen", "Group", "Alias".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from journeys.public_api import SHARED_SECRET
from journeys.sink import Arrival

PROPERTIES: dict[str, Any] = {
    "total": 39.95,
    "items": ["a", {"deep": [1, 2, None]}],
    "naïve": "日本語 🛒",
    "whole": 9007199254740991,
    "flag": False,
}
SIX_CALLS: dict[str, dict[str, Any]] = {
    "identify": {"userId": "u-6", "traits": {"email": "u6@shop.example", "plan": None}},
    "track": {"userId": "u-6", "event": "Order Completed", "properties": PROPERTIES},
    "page": {"userId": "u-6", "category": "Docs", "name": "Start", "properties": {"url": "https://shop.example/"}},
    "screen": {"userId": "u-6", "category": "App", "name": "Home", "properties": {"dark": True}},
    "group": {"userId": "u-6", "groupId": "g-1", "traits": {"employees": 12}},
    "alias": {"userId": "u-6", "previousId": "anonymous-6"},
}
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def assert_the_six_arrived_once_each(arrivals: Sequence[Arrival], library: str) -> None:
    """Each call's own fields are untouched, what the pipeline adds is there, and every body is signed."""
    events = {each.event["type"]: each.event for each in arrivals}
    assert len(arrivals) == len(SIX_CALLS)
    assert set(events) == set(SIX_CALLS)
    assert len({event["messageId"] for event in events.values()}) == len(SIX_CALLS)
    for kind, fields in SIX_CALLS.items():
        for name, value in fields.items():
            assert _without_copies(name, events[kind][name], value) == value, f"{name} of {kind}"
        assert_is_a_delivered_event(events[kind], library)
    for arrival in arrivals:
        assert arrival.headers["content-type"].startswith("application/json")
        assert arrival.is_signed_with(SHARED_SECRET)


def _without_copies(field: str, received: Any, sent: Any) -> Any:
    """The libraries copy `name` and `category` of a page or screen into its properties, and fill them up."""
    if field != "properties":
        return received
    return {name: value for name, value in received.items() if name in sent}


def assert_is_a_delivered_event(event: dict[str, Any], library: str) -> None:
    """The fields that every delivered event has, and those that none has."""
    for name in ("timestamp", "originalTimestamp", "receivedAt", "sentAt"):
        assert isinstance(event[name], str)
        assert event[name].startswith("20")
    assert ISO_TIME.fullmatch(event["timestamp"])
    assert ISO_TIME.fullmatch(event["receivedAt"])
    assert event["context"]["library"]["name"] == library
    assert "writeKey" not in event
    assert "_metadata" not in event


def assert_order_was_kept(arrivals: Sequence[Arrival], users: int, each: int) -> None:
    """Every user's events came in the order in which they were sent, each exactly once."""
    for number in range(users):
        of_user = [one.event for one in arrivals if one.event["userId"] == f"user-{number}"]
        assert [event["properties"]["step"] for event in of_user] == list(range(each))
