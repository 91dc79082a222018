"""What decides whether a destination gets an event."""

from __future__ import annotations

import msgspec
import pytest

from mainstem.model.outcome import DESTINATION_REASONS, Stage
from mainstem.model.snapshot import FilterConfig
from mainstem.pipeline import TO_DESTINATION, run
from mainstem.pipeline.address import lane
from pipeline.making import destination, destination_scope, from_source


def event(**fields):
    return from_source({"userId": "u", "event": "E", **fields}).kept[0]


def verdict(to, **fields):
    """The reason it was dropped for, or the payload that goes out."""
    verdicts = run(TO_DESTINATION, [event(**fields)], destination_scope(to))
    assert not verdicts.failed
    if verdicts.dropped:
        dropped = verdicts.dropped[0]
        assert dropped.stage is Stage.FILTERED_AT_DESTINATION
        assert dropped.reason in DESTINATION_REASONS
        return dropped.reason
    return msgspec.json.decode(verdicts.kept[0].body)


@pytest.mark.parametrize(
    ("metadata", "goes"),
    [
        ({"bundled": ["Amplitude"]}, False),
        ({"bundled": ["Other"], "unbundled": ["Amplitude"]}, True),
        ({"bundled": []}, True),
        ({"bundled": ["Amplitude"], "bundledIds": []}, False),
        ({"bundled": ["Amplitude"], "bundledIds": ["dst"]}, False),
        ({"bundled": ["Amplitude"], "bundledIds": ["another"]}, True),
        ({"bundled": "Amplitude"}, True),
        ("text", True),
        (None, True),
    ],
)
def test_what_the_browser_sent_is_not_sent_again(metadata, goes):
    result = verdict(destination("dst", "Amplitude"), _metadata=metadata)
    assert (result != "MESSAGE_SENT_CLIENT_SIDE") is goes


def test_a_type_that_the_connector_does_not_take_is_dropped():
    assert verdict(destination(event_types=frozenset({"identify"}))) == "UNSUPPORTED_EVENT_TYPE"


def test_no_filter_hides_that_a_type_is_unsupported():
    drop = FilterConfig("f", "all", ({"type": "DROP"},), enabled=True)
    assert verdict(destination("d", "W", drop, event_types=frozenset({"page"}))) == "UNSUPPORTED_EVENT_TYPE"


@pytest.mark.parametrize(
    ("integrations", "goes"),
    [
        (None, True),
        ({}, True),
        ({"All": True}, True),
        ({"All": False}, False),
        ({"all": False}, False),
        ({"All": True, "all": False}, True),
        ({"Mixpanel": False}, False),
        ({"mixpanel": False}, True),
        ({"All": False, "Mixpanel": True}, True),
        ({"All": False, "Mixpanel": {}}, True),
        ({"All": False, "Mixpanel": {"option": 1}}, True),
        ({"All": True, "Mixpanel": False}, False),
        ({"All": False, "Mixpanel": None}, False),
        ({"All": None, "Mixpanel": None}, True),
        ({"All": False, "Other": True}, False),
        ([], True),
        ("text", True),
    ],
)
def test_the_integrations_object_says_where_an_event_goes(integrations, goes):
    result = verdict(destination("dst", "Mixpanel"), integrations=integrations)
    assert (result != "FILTERED_BY_INTEGRATIONS_OBJECT") is goes


def test_a_destination_is_named_in_the_integrations_object_in_its_exact_case():
    assert verdict(destination("dst", "Mixpanel"), integrations={"mixpanel": False})["event"] == "E"
    refused = verdict(destination("dst", "Mixpanel"), integrations={"Mixpanel": False})
    assert refused == "FILTERED_BY_INTEGRATIONS_OBJECT"


@pytest.mark.parametrize(
    ("integrations", "goes"), [({}, False), ({"All": True}, False), ({"Salesforce": True}, True)]
)
def test_a_destination_that_is_off_by_default_wants_to_be_named(integrations, goes):
    result = verdict(destination("dst", "Salesforce"), integrations=integrations)
    assert (result != "FILTERED_BY_INTEGRATIONS_OBJECT") is goes


def test_what_a_filter_drops_is_filtered_by_rules():
    drop = FilterConfig("f", "event = 'E'", ({"type": "DROP"},), enabled=True)
    assert verdict(destination("d", "W", drop)) == "FILTERED_BY_RULES"


def test_a_filter_that_cannot_be_read_lets_nothing_through():
    broken = FilterConfig(
        "f", 'userId = oops"', ({"type": "DROP_PROPERTIES", "fields": {"": ["email"]}},), enabled=True
    )
    assert verdict(destination("d", "W", broken)) == "FILTERED_BY_RULES"


def test_a_disabled_filter_does_nothing():
    drop = FilterConfig("f", "all", ({"type": "DROP"},), enabled=False)
    assert verdict(destination("d", "W", drop))["event"] == "E"


def test_a_filter_takes_properties_out_for_its_destination_alone():
    strip = FilterConfig("f", "all", ({"type": "DROP_PROPERTIES", "fields": {"properties": ["a"]}},), enabled=True)
    shared = event(properties={"a": 1, "b": 2})
    filtered, whole = destination_scope(destination("d1", "W", strip)), destination_scope(destination("d2", "W"))
    first = run(TO_DESTINATION, [shared], filtered).kept[0]
    second = run(TO_DESTINATION, [shared], whole).kept[0]
    assert msgspec.json.decode(first.body)["properties"] == {"b": 2}
    assert msgspec.json.decode(second.body)["properties"] == {"a": 1, "b": 2}


def test_metadata_is_removed_and_the_rest_stays():
    sent = event(_metadata={"bundled": []}, extra=1)
    delivery = run(TO_DESTINATION, [sent], destination_scope()).kept[0]
    assert msgspec.json.decode(delivery.body) == {k: v for k, v in sent.payload.items() if k != "_metadata"}


def test_a_delivery_says_whose_and_what_it_is():
    sent = event(messageId="m", context={"app": {"version": "1.2"}})
    delivery = run(TO_DESTINATION, [sent], destination_scope()).kept[0]
    assert delivery.destination_id == "dst"
    assert (delivery.source_id, delivery.message_id, delivery.lane) == ("src", "m", lane("u"))
    assert (delivery.event_type, delivery.event_name, delivery.app_version) == ("track", "E", "1.2")
    assert delivery.received_at_ms == sent.received_at_ms


def test_it_is_counted_under_the_name_it_came_with_even_if_a_filter_takes_that_out():
    strip = FilterConfig("f", "all", ({"type": "DROP_PROPERTIES", "fields": {"": ["event"]}},), enabled=True)
    delivery = run(TO_DESTINATION, [event()], destination_scope(destination("d", "W", strip))).kept[0]
    assert delivery.event_name == "E"
    assert "event" not in msgspec.json.decode(delivery.body)


def test_destinations_that_get_the_same_payload_share_its_bytes():
    sent, bodies = event(), {}
    scopes = [msgspec.structs.replace(destination_scope(destination(name)), bodies=bodies) for name in ("d1", "d2")]
    first, second = (run(TO_DESTINATION, [sent], scope).kept[0] for scope in scopes)
    assert first.body is second.body


def test_a_lane_is_the_same_in_every_process_and_version():
    assert [lane("u1"), lane("user-é"), lane("")] == [1_112_514_422, 1_093_043_653, 0]
