"""What is switched off in the schema of a source."""

from __future__ import annotations

import msgspec
import pytest

from mainstem.model.outcome import Stage
from mainstem.model.snapshot import SchemaControls
from mainstem.pipeline.digest import digest
from model.plans import plan, rule
from pipeline.making import around, destination, requests, source

APPSFLYER_OFF = {"integrations_off": {"track/E": ("Appsflyer",), "identify/": ("Appsflyer",)}}
PLAN = plan(rule("TRACK", "E", {}), rule("TRACK", "X", {}))


def process(sent, *, with_plan=False, names=("Appsflyer", "Other"), **controls):
    """What comes of an event where the schema has switched off these."""
    to = [destination(name, name) for name in names]
    plan_id = PLAN.id if with_plan else ""
    config = source("src", *to, schema=SchemaControls(**controls), tracking_plan_id=plan_id)
    return digest(
        6, 7, requests(({"batch": [{"userId": "u", "groupId": "g", **sent}]}, "batch")), around(config, PLAN)
    )


def arrived(batch):
    return {each.destination_id: msgspec.json.decode(each.body) for each in batch.deliveries}


def reasons(batch):
    return {(key.stage, key.reason, key.destination_id) for key in batch.tallies if key.reason}


@pytest.mark.parametrize("key", ["track", "page", "screen"])
def test_an_event_that_is_switched_off_ends_at_its_source_and_counts_for_nothing(key):
    sent = {"type": key, "event": "X", "name": "X"}
    batch = process(sent, events_off={key: ("X",)})
    assert reasons(batch) == {(Stage.FILTERED_AT_SOURCE, "event_setting", "")}
    assert not batch.deliveries
    assert not batch.calls
    assert not batch.users


def test_what_the_browser_posts_of_an_event_that_is_switched_off_is_blocked_as_well():
    batch = process({"type": "track", "event": "X", "integrations": {"All": False}}, events_off={"track": ("X",)})
    assert reasons(batch) == {(Stage.FILTERED_AT_SOURCE, "event_setting", "")}


@pytest.mark.parametrize("sent", [
    {"type": "track", "event": "x"}, {"type": "page", "name": "X"}, {"type": "page"}, {"type": "page", "": "X"},
    {"type": "identify", "event": "X"}, {"type": "screen", "name": "Y"},
])  # fmt: skip
def test_an_event_is_switched_off_by_type_and_exact_name(sent):
    assert len(process(sent, events_off={"track": ("X",), "screen": ("X",)}).deliveries) == 2


def test_events_are_not_switched_off_while_a_plan_is_connected():
    batch = process({"type": "track", "event": "X"}, with_plan=True, events_off={"track": ("X",)})
    assert len(batch.deliveries) == 2


@pytest.mark.parametrize(("type_", "left"), [("identify", {"b": 2}), ("group", {"a": 1, "b": 2})])
def test_a_trait_that_is_switched_off_is_removed_from_its_call(type_, left):
    sent = {"type": type_, "traits": {"a": 1, "b": 2}, "context": {"traits": {"a": 1}}}
    event = arrived(process(sent, traits_off={"identify": ("a", "c")}))["Other"]
    assert event["traits"] == left
    assert event["context"] == sent["context"]


@pytest.mark.parametrize("traits", [None, {}, {"b": 1}])
def test_traits_without_one_that_is_switched_off_stay(traits):
    assert arrived(process({"type": "identify", "traits": traits}, traits_off={"identify": ("a",)}))["Other"][
        "traits"
    ] == traits  # fmt: skip


@pytest.mark.parametrize("with_plan", [True, False])
@pytest.mark.parametrize("sent", [{"type": "track", "event": "E"}, {"type": "identify"}])
def test_a_destination_that_is_switched_off_for_an_event_does_not_get_it(sent, with_plan):
    batch = process(sent, with_plan=with_plan, **APPSFLYER_OFF)
    assert set(arrived(batch)) == {"Other"}
    assert reasons(batch) == {(Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_INTEGRATIONS_OBJECT", "Appsflyer")}


@pytest.mark.parametrize("word", [True, {}, {"appsFlyerId": "1"}])
def test_an_event_that_names_the_destination_gets_there_though_the_schema_switched_it_off(word):
    batch = process({"type": "track", "event": "E", "integrations": {"Appsflyer": word}}, **APPSFLYER_OFF)
    assert set(arrived(batch)) == {"Appsflyer", "Other"}


@pytest.mark.parametrize("integrations", [{"All": True}, {"appsflyer": True}, {"Appsflyer": None}, [], None])
def test_nothing_less_than_its_name_beats_the_schema(integrations):
    batch = process({"type": "track", "event": "E", "integrations": integrations}, **APPSFLYER_OFF)
    assert set(arrived(batch)) == {"Other"}


@pytest.mark.parametrize("sent", [{"type": "track", "event": "F"}, {"type": "group"}, {"type": "page", "name": "E"}])
def test_other_events_get_there(sent):
    assert set(arrived(process(sent, **APPSFLYER_OFF))) == {"Appsflyer", "Other"}
