"""The fields that every event gets."""

from __future__ import annotations

import uuid

import pytest

from mainstem.pipeline.normalize import normalize
from mainstem.pipeline.timestamps import read_time
from pipeline.making import RECEIVED_AT_MS, from_source, item, scope, source

RECEIVED_AT = "2025-11-24T16:00:00.000Z"


def normal(payload, kind="track", *, of=None, **fields):
    return normalize(item(payload, kind, **fields), scope(of or source()))


def test_the_fields_of_the_server_are_set():
    payload = normal({"userId": "u", "event": "E"}).payload
    assert payload["type"] == "track"
    assert payload["receivedAt"] == payload["timestamp"] == RECEIVED_AT
    assert (payload["version"], payload["channel"], payload["projectId"]) == (2, "server", "src")


def test_everything_else_stays_as_it_was_sent():
    sent = {
        "userId": "u", "anonymousId": None, "event": "E", "email": "e@example.com", "properties": {"a": [1, None]},
        "context": {"locale": "de"}, "integrations": {"All": True}, "messageId": "m", "sentAt": "nonsense",
    }  # fmt: skip
    payload = normal(sent).payload
    assert {key: payload[key] for key in sent} == sent
    assert set(payload) - set(sent) == {
        "type", "timestamp", "originalTimestamp", "receivedAt", "version", "channel", "projectId",
    }  # fmt: skip


def test_the_path_says_the_type_and_a_batch_item_says_its_own():
    assert normal({"type": "page"}, "track").payload["type"] == "track"
    assert normal({"type": "page"}, "batch").type == "page"


def test_the_write_key_does_not_travel_on():
    assert "writeKey" not in normal({"writeKey": "k"}).payload


# ---- messageId


@pytest.mark.parametrize("sent", [{}, {"messageId": None}, {"messageId": ""}])
def test_a_missing_message_id_is_assigned_and_the_same_when_processed_again(sent):
    first, again = normal(sent), normal(sent)
    assert uuid.UUID(first.message_id).variant == uuid.RFC_4122
    assert first.payload["messageId"] == first.message_id == again.message_id


def test_assigned_message_ids_differ_by_place_request_time_and_source():
    ids = {
        normal({}).message_id,
        normal({}, number=1).message_id,
        normal({}, at_ms=RECEIVED_AT_MS + 1).message_id,
        normalize(item({}, source_id="two"), scope(source("two"))).message_id,
    }
    assert len(ids) == 4


def test_identical_events_without_ids_are_both_kept():
    event = {"type": "track", "event": "E", "userId": "u"}
    assert len(from_source({"batch": [event, event]}, "batch").kept) == 2


def test_a_message_id_is_a_key_of_its_workspace_whatever_the_source():
    one, two = source("one"), source("two")
    other = source("three", workspace_id="other")
    key = normalize(item({"messageId": "m"}, source_id="one"), scope(one)).key
    assert key == normalize(item({"messageId": "m"}, source_id="two"), scope(two)).key
    assert key != normalize(item({"messageId": "m"}, source_id="three"), scope(other)).key
    assert 0 <= key < 2**63


# ---- timestamps


@pytest.mark.parametrize(
    ("sent", "timestamp", "original"),
    [
        ({"timestamp": "2025-11-24T15:52:57Z", "sentAt": "2025-11-24T15:57:57Z"}, "2025-11-24T15:55:00.000Z", None),
        ({"timestamp": "2030-01-01T00:00:00Z", "sentAt": "2029-01-01T00:00:00Z"}, "2026-11-24T16:00:00.000Z", None),
        ({"timestamp": "2012-12-02T00:30:08.276Z"}, "2012-12-02T00:30:08.276Z", None),
        ({"timestamp": "2012-12-02T01:30:08.276+01:00"}, "2012-12-02T00:30:08.276Z", None),
        ({"sentAt": "2025-11-24T15:57:57Z"}, RECEIVED_AT, "2025-11-24T15:57:57Z"),
        ({}, RECEIVED_AT, RECEIVED_AT),
        ({"sentAt": "nonsense"}, RECEIVED_AT, RECEIVED_AT),
        ({"sentAt": None, "timestamp": None}, RECEIVED_AT, RECEIVED_AT),
        ({"timestamp": "2012-12-02T00:30:08.276Z", "sentAt": "nonsense"}, "2012-12-02T00:30:08.276Z", None),
        ({"timestamp": "2012-12-02T00:30:08.276Z", "sentAt": 5}, "2012-12-02T00:30:08.276Z", None),
        ({"timestamp": "2012-12-02T00:30:08.276Z", "sentAt": ["x"]}, "2012-12-02T00:30:08.276Z", None),
        ({"timestamp": "2015-2-02T00:30:08.276Z"}, "2015-02-02T00:30:08.276Z", None),
        ({"timestamp": "yesterday"}, RECEIVED_AT, "yesterday"),
        ({"timestamp": "yesterday", "sentAt": "2025-11-24T15:57:57Z"}, RECEIVED_AT, "yesterday"),
        ({"timestamp": 1_354_406_400}, RECEIVED_AT, 1_354_406_400),
        ({"timestamp": "9999-12-31T23:00:00Z", "sentAt": "2000-01-01T00:00:00Z"}, RECEIVED_AT, None),
        ({"originalTimestamp": "2012-12-02T00:30:08.276Z"}, "2012-12-02T00:30:08.276Z", None),
        ({"originalTimestamp": "x", "timestamp": "2012-12-02T00:30:08Z"}, "2012-12-02T00:30:08.000Z", None),
    ],
)
def test_a_timestamp_is_corrected_by_the_clock_of_its_sender(sent, timestamp, original):
    payload = normal(sent).payload
    assert payload["timestamp"] == timestamp
    client_time = sent.get("timestamp") or sent.get("originalTimestamp")
    assert payload["originalTimestamp"] == (original if original is not None else client_time)


def test_the_published_example_of_a_corrected_time():
    received_at_ms = read_time("2025-06-01T12:07:03Z")
    sent = {"timestamp": "2025-06-01T12:00:00Z", "sentAt": "2025-06-01T12:05:00Z"}
    payload = normal(sent, at_ms=received_at_ms).payload
    assert payload["timestamp"] == "2025-06-01T12:02:03.000Z"
    assert payload["originalTimestamp"] == "2025-06-01T12:00:00Z"


def test_all_items_of_a_batch_share_received_at():
    batch = {"sentAt": RECEIVED_AT, "batch": [{"type": "track", "event": "E", "userId": "u"}] * 3}
    kept = from_source(batch, "batch").kept
    assert {event.payload["receivedAt"] for event in kept} == {RECEIVED_AT}
    assert {event.payload["sentAt"] for event in kept} == {RECEIVED_AT}


# ---- channel and address


@pytest.mark.parametrize(
    ("library", "platform", "route", "channel"),
    [
        ("analytics.js", "server", "server", "browser"),
        ("analytics-kotlin", "server", "browser", "mobile"),
        ("analytics-python", "server", "server", "server"),
        ("analytics-python", "web", "server", "browser"),
        (None, "mobile", "server", "mobile"),
        (None, "server", "browser", "browser"),
        (7, "server", "server", "server"),
    ],
)
def test_the_channel_comes_from_library_source_and_route(library, platform, route, channel):
    payload = {"context": {"library": {"name": library}}}
    assert normal(payload, of=source(platform=platform), channel=route).payload["channel"] == channel


@pytest.mark.parametrize(
    ("context", "channel", "peer", "ip"),
    [
        ({}, "browser", "203.0.113.7", "203.0.113.7"),
        (None, "browser", "203.0.113.7", "203.0.113.7"),
        ({"ip": None}, "mobile", "203.0.113.7", "203.0.113.7"),
        ({"ip": "0.0.0.0"}, "browser", "203.0.113.7", "0.0.0.0"),
        ({"ip": ""}, "browser", "203.0.113.7", ""),
        ({}, "server", "203.0.113.7", None),
        ({"direct": True}, "server", "203.0.113.7", "203.0.113.7"),
        ({"direct": True, "ip": "0.0.0.0"}, "server", "203.0.113.7", "0.0.0.0"),
        ({"direct": "yes"}, "server", "203.0.113.7", None),
        ({}, "browser", "2001:db8::1", None),
        ({}, "browser", "::ffff:203.0.113.7", "203.0.113.7"),
        ({}, "browser", "", None),
    ],
)
def test_the_address_is_filled_only_where_it_is_due(context, channel, peer, ip):
    payload = normal({"context": context}, channel=channel, ip=peer).payload
    assert (payload.get("context") or {}).get("ip") == ip


def test_an_event_without_context_gets_none_where_no_address_is_due():
    assert "context" not in normal({"userId": "u"}, ip="203.0.113.7").payload


@pytest.mark.parametrize("context", ["text", [], 7])
def test_a_context_that_is_no_object_is_left_alone(context):
    assert normal({"context": context}, channel="browser", ip="203.0.113.7").payload["context"] == context


def test_properties_beyond_the_10000th_are_dropped():
    properties = {f"p{number}": number for number in range(10_003)}
    kept = normal({"properties": properties}).payload["properties"]
    assert list(kept) == list(properties)[:10_000]


@pytest.mark.parametrize(
    ("ids", "user"),
    [
        ({"userId": "u", "anonymousId": "a"}, "u"),
        ({"anonymousId": "a"}, "a"),
        ({"userId": None, "anonymousId": "a"}, "a"),
    ],
)
def test_order_is_kept_by_user_id_else_by_anonymous_id(ids, user):
    assert normal(ids).user == user


def test_names_are_counted_by_their_first_255_characters():
    event = normal({"event": "x" * 400, "context": {"app": {"version": "1" * 400}}})
    assert (event.name, event.app_version) == ("x" * 255, "1" * 255)
    assert event.payload["event"] == "x" * 400
