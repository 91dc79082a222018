"""What is learned of the events that a source sends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from mainstem.model.learned import MAX_EVENTS, MAX_FIELDS, MAX_LEVELS, JsonType
from mainstem.model.snapshot import SchemaControls
from mainstem.pipeline.digest import digest
from mainstem.pipeline.learn import Learner
from model.json_values import objects
from model.plans import declaring, plan, rule
from pipeline.making import RECEIVED_AT_MS, around, from_source, requests, source

DAY_MS = 86_400_000


def event(type_="track", *, at_ms=RECEIVED_AT_MS, **fields):
    body = {"userId": "u", "groupId": "g", "event": "E", **fields}
    return from_source(body, type_, at_ms=at_ms).kept[0]


def learned(learner):
    """What there is to tell: types by event and path, None for the event itself."""
    return {(each.event_type, each.event_name, each.path): JsonType(each.types) for each in learner.news()}


def test_an_event_its_properties_and_their_types_are_learned():
    learner = Learner()
    learner.note([event(properties={"s": "x", "i": 1, "n": 1.5, "b": True, "z": None, "l": [1], "o": {}})])
    assert learned(learner) == {
        ("track", "E", None): JsonType(0),
        ("track", "E", "s"): JsonType.STRING,
        ("track", "E", "i"): JsonType.INTEGER,
        ("track", "E", "n"): JsonType.NUMBER,
        ("track", "E", "b"): JsonType.BOOLEAN,
        ("track", "E", "z"): JsonType.NULL,
        ("track", "E", "l"): JsonType.ARRAY,
        ("track", "E", "o"): JsonType.OBJECT,
    }


def test_nested_properties_are_learned_by_their_paths():
    learner = Learner()
    learner.note([event(properties={"at": {"geo": {"lat": 1}}, "products": [{"sku": "a"}, 7, {"price": 1}]})])
    assert {path for _, _, path in learned(learner)} == {
        None, "at", "at.geo", "at.geo.lat", "products", "products.$.sku", "products.$.price",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "fields", "name", "path"),
    [
        ("page", {"name": "Home", "properties": {"a": 1}}, "Home", "a"),
        ("screen", {"properties": {"a": 1}}, "", "a"),
        ("identify", {"traits": {"email": "e"}, "properties": {"no": 1}}, "", "email"),
        ("group", {"traits": {"seats": 1}}, "", "seats"),
    ],
)
def test_each_type_of_call_is_learned_with_what_it_holds(type_, fields, name, path):
    learner = Learner()
    learner.note([event(type_, **fields)])
    assert {key[1:] for key in learned(learner)} == {(name, None), (name, path)}


def test_what_is_known_is_not_told_again_but_another_type_is():
    learner = Learner()
    learner.note([event(properties={"a": 1, "b": 1})])
    learner.saved()
    learner.note([event(properties={"a": 2, "b": "x"})])
    assert learned(learner) == {("track", "E", "b"): JsonType.STRING}


def test_what_is_seen_on_another_day_is_told_again_once():
    learner = Learner()
    learner.note([event(properties={"a": 1})])
    learner.saved()
    tomorrow = [event(properties={"a": 1}, at_ms=RECEIVED_AT_MS + DAY_MS) for _ in range(3)]
    learner.note(tomorrow)
    assert [each.at_ms for each in learner.news()] == [RECEIVED_AT_MS + DAY_MS] * 2
    learner.saved()
    learner.note([*tomorrow, event(properties={"a": 1})])
    assert learner.news() == []


def test_news_wait_until_they_are_saved():
    learner = Learner()
    learner.note([event(properties={"a": 1})])
    learner.note([event(properties={"a": "x"})])
    assert learned(learner)["track", "E", "a"] == JsonType.INTEGER | JsonType.STRING
    assert len(learner.news()) == 2


def test_the_number_of_properties_of_an_event_is_bounded_nested_ones_included():
    learner = Learner()
    learner.note([event(properties={"o": {f"p{number}": 1 for number in range(2 * MAX_FIELDS)}})])
    assert len(learner.news()) == 1 + MAX_FIELDS


def test_the_number_of_events_of_a_source_is_bounded():
    learner = Learner()
    learner.note([event(event=f"E{number}") for number in range(MAX_EVENTS + 5)])
    assert len(learner.news()) == MAX_EVENTS


def test_what_is_too_long_or_too_deep_to_be_shown_is_left_out():
    deep = {"a": 1}
    for _ in range(50):
        deep = {"a": deep}
    learner = Learner()
    learner.note([event(properties={"x" * 256: 1, "ok": 1, **deep})])
    assert len(learner.news()) == 2 + MAX_LEVELS + 1
    assert "ok" in {path for _, _, path in learned(learner)}


def test_an_event_that_is_counted_without_its_name_is_left_out():
    one = event()
    one.name = ""
    learner = Learner()
    learner.note([one])
    assert learner.news() == []


def test_more_than_can_be_remembered_is_told_again(monkeypatch):
    monkeypatch.setattr("mainstem.pipeline.learn.MAX_REMEMBERED", 3)
    learner = Learner()
    first = event(event="first", properties={"a": 1, "b": 1, "c": 1})
    learner.note([first])
    learner.saved()
    learner.note([event(event="second")])
    learner.saved()
    learner.note([first])
    assert {name for _, name, _ in learned(learner)} == {"first"}


@settings(max_examples=100, deadline=None)
@given(objects, objects)
def test_nothing_that_is_sent_stops_the_learning(properties, traits):
    learner = Learner()
    one, other = event(), event("identify")
    one.payload["properties"], other.payload["traits"] = properties, traits
    learner.note([one, other])
    assert {path.split(".")[0] for _, _, path in learned(learner) if path is not None} >= {
        name.split(".")[0] for name in properties
    }


# ---- in the pipeline


def test_what_is_blocked_or_trimmed_is_learned_as_it_was_sent():
    controls = SchemaControls(allow_unplanned_events=False, allow_unplanned_event_properties=False)
    by = source("src", tracking_plan_id="tp_1", schema=controls)
    surroundings = around(by, plan(rule("TRACK", "E", declaring({}))))
    events = [{"type": "track", "userId": "u", "event": name, "properties": {"x": 1}} for name in ("E", "F")]
    digest(6, 7, requests(({"batch": events}, "batch")), surroundings)
    assert {(name, path) for _, name, path in learned(surroundings.learner)} == {
        ("E", None), ("E", "x"), ("F", None), ("F", "x"),
    }  # fmt: skip


def test_a_source_learns_the_events_forwarded_to_it_but_no_violations():
    controls = SchemaControls(
        allow_event_on_violations=False, forwarding_blocked_events_to="other", forwarding_violations_to="other"
    )
    by = source("src", tracking_plan_id="tp_1", schema=controls)
    surroundings = around(by, source("other"), plan(rule("TRACK", "E", declaring({}, "x"))))
    digest(6, 7, requests(({"userId": "u", "event": "E", "properties": {}}, "track")), surroundings)
    assert {(each.source_id, each.event_name) for each in surroundings.learner.news()} == {
        ("src", "E"),
        ("other", "E"),
    }
