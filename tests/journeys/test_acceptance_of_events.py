"""What the Tracking API promises of an event, from the call to the webhook and the counts.

Each test has a source of its own, so that its counts are exact. An event that must leave no trace is followed by
one that does: events of a source are processed in the order in which they were accepted.
Source: Tracking API reference; product guides "Destination Filters" and "Delivery Overview"; judgements are those
that the code under test names.
"""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from journeys.public_api import Connection, PublicApi, eventually, window
from journeys.running import RunningServer, running_server
from journeys.sink import Arrival, Sink
from journeys.terminal import mainstem

Event = dict[str, Any]

OWNER_TOKEN = "events-" + "0123456789abcdef" * 4
HTTP_API = "iUM16Md8P2"
JAVASCRIPT = "IqDTy1TpoU"
CLICK: Event = {"type": "track", "event": "Clicked", "userId": "u-1"}
DROP = [{"type": "DROP"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of this module's own: it looks at numbers of the whole workspace."""
    with running_server(tmp_path_factory.mktemp("events"), OWNER_TOKEN) as running:
        yield running


@pytest.fixture
def connection(public_api: PublicApi, sink: Sink) -> Connection:
    """An HTTP API source, connected to this test's webhook."""
    return public_api.connect(sink.url, metadata_id=HTTP_API)


def basic(user: str) -> dict[str, str]:
    """Basic authentication of exactly this text; the colon is the caller's."""
    return {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}


def track(tracking: httpx.Client, connection: Connection, **fields: Any) -> None:
    """One accepted track call, with the key in its body."""
    body = {"event": "Clicked", "userId": "u-1", **fields, "writeKey": connection.write_key}
    accepted(tracking.post("/v1/track", json=body))


def batch(tracking: httpx.Client, connection: Connection, *items: Any, **envelope: Any) -> None:
    """One accepted batch."""
    accepted(tracking.post("/v1/batch", json={"batch": items, **envelope, "writeKey": connection.write_key}))


def accepted(response: httpx.Response) -> None:
    """The one answer that every accepted call gets."""
    assert (response.status_code, response.json()) == (200, {"success": True})


def reasons(public_api: PublicApi, stage: str, connection: Connection, total: int) -> dict[str, int]:
    """Wait until a stage has counted `total` events; how many for each reason."""
    answer = public_api.wait_for_count(stage, connection, total, **{"groupBy.0": "discardReason"})
    return {each["discardReason"]: each["total"] for each in answer["dataset"]}


def delivered(sink: Sink, count: int) -> list[Event]:
    """Wait for `count` deliveries and return their events."""
    return [each.event for each in sink.wait_for(count)]


def add_filter(public_api: PublicApi, connection: Connection, condition: str, actions: list[Event]) -> None:
    """Add an enabled filter to the destination."""
    body = {"sourceId": connection.source_id, "if": condition, "actions": actions, "title": "F", "enabled": True}
    public_api.post(f"/destination/{connection.destination_id}/filters", body)


def event_of_bytes(size: int, connection: Connection) -> bytes:
    """A call of exactly `size` bytes."""
    body = json.dumps({**CLICK, "writeKey": connection.write_key, "properties": {"long": ""}}).encode()
    return body[:-3] + b"x" * (size - len(body)) + body[-3:]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestWhatTheAnswerSays:
    """Status and body of the answer, and that a refused call leaves no trace."""

    def test_a_call_with_its_key_in_the_body_is_delivered_with_a_new_message_id(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        track(tracking, connection)
        (event,) = delivered(sink, 1)
        assert uuid.UUID(event["messageId"])
        assert (event["type"], event["event"], event["userId"]) == ("track", "Clicked", "u-1")
        assert "writeKey" not in event

    @pytest.mark.parametrize("colon", [":", ""], ids=["with its colon", "without a colon"])
    def test_a_key_in_the_header_is_enough(
        self, tracking: httpx.Client, connection: Connection, sink: Sink, colon: str
    ) -> None:
        accepted(tracking.post("/v1/track", json=CLICK, headers=basic(connection.write_key + colon)))
        delivered(sink, 1)

    def test_the_header_decides_between_two_keys(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        other = public_api.connect(f"{sink.url}/other", metadata_id=HTTP_API)
        body = {**CLICK, "writeKey": connection.write_key}
        accepted(tracking.post("/v1/track", json=body, headers=basic(other.write_key + ":")))
        assert [each.path for each in sink.wait_for(1)] == ["/other"]

    def test_an_unknown_key_is_answered_like_any_other_and_nothing_is_kept(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        accepted(tracking.post("/v1/track", json={**CLICK, "event": "Lost", "writeKey": secrets.token_hex(16)}))
        track(tracking, connection, event="Kept")
        assert [each["event"] for each in delivered(sink, 1)] == ["Kept"]
        volume = public_api.get("/events/volume", {**window(), "groupBy": "eventName"})
        assert "Lost" not in {each["eventName"] for each in volume["result"]}

    def test_a_refused_call_is_told_why_and_leaves_no_trace(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection
    ) -> None:
        whole = json.dumps({**CLICK, "writeKey": connection.write_key}).encode()
        item = event_of_bytes(33 * 1024, connection)
        packed = {"content": gzip.compress(b'{"batch":["' + b"a" * 10_000_000 + b'"]}')}
        refusals = [
            (tracking.post("/v1/track", json=CLICK), "An invalid write key was provided"),
            (tracking.post("/v1/track", json={**CLICK, "writeKey": "abcdef"}), "An invalid write key was provided"),
            (tracking.post("/v1/track", content=whole[:-1]), "malformed JSON"),
            (tracking.post("/v1/track", content=b"[" + whole + b"]"), "malformed JSON"),
            (tracking.post("/v1/track", content=b"", headers=basic(connection.write_key)), "malformed JSON"),
            (tracking.request("GET", "/v1/track", content=whole), "malformed JSON"),
            (tracking.post("/v1/track", content=item), "Exceed payload limit"),
            (tracking.post("/v1/batch", content=_batch_of(item, connection)), "Exceed payload limit"),
            (tracking.post("/v1/batch", content=_batch_of_bytes(501 * 1024, connection)), "Exceed payload limit"),
            (tracking.post("/v1/batch", **packed, headers={"Content-Encoding": "gzip"}), "Exceed payload limit"),
        ]
        for answer, message in refusals:
            said = {"success": False, "message": message, "code": "invalid_request", "error": message}
            assert (answer.status_code, answer.json()) == (400, said)
        track(tracking, connection)
        public_api.wait_for_count("successful-delivery", connection, 1)
        public_api.wait_for_count("successfully-received", connection, 1)
        public_api.wait_for_count("failed-on-ingest", connection, 0)

    def test_an_event_of_30_082_bytes_and_one_at_the_limit_are_delivered_whole(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        for size in (30_082, 32 * 1024):
            accepted(tracking.post("/v1/track", content=event_of_bytes(size, connection)))
        lengths = [len(event["properties"]["long"]) for event in delivered(sink, 2)]
        assert lengths[1] - lengths[0] == 32 * 1024 - 30_082

    def test_text_on_a_short_path_is_the_event_of_the_path(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        body = json.dumps({"event": "Clicked", "anonymousId": "a", "writeKey": connection.write_key})
        accepted(tracking.post("/v1/t", content=body, headers={"Content-Type": "text/plain"}))
        (event,) = delivered(sink, 1)
        assert (event["type"], event["channel"]) == ("track", "browser")

    @pytest.mark.parametrize("path", ["/v1/batch", "/v1/import", "/v1/b"])
    def test_a_gzip_batch_is_unpacked(
        self, tracking: httpx.Client, connection: Connection, sink: Sink, path: str
    ) -> None:
        body = json.dumps({"batch": [CLICK, CLICK], "writeKey": connection.write_key}).encode()
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        accepted(tracking.post(path, content=gzip.compress(body), headers=headers))
        delivered(sink, 2)

    def test_a_page_of_any_website_may_send(self, tracking: httpx.Client, connection: Connection) -> None:
        origin = {"Origin": "https://shop.example"}
        asked = "authorization,content-type,x-retry-count"
        ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
        preflight = tracking.options("/v1/t", headers={**origin, **ask})
        assert preflight.is_success
        allowed = preflight.headers["access-control-allow-headers"].lower()
        assert all(each in allowed for each in asked.split(","))
        call = {**CLICK, "writeKey": connection.write_key}
        sent = tracking.post("/v1/t", json=call, headers=origin)
        refused = tracking.post("/v1/t", content=b"{", headers=origin)
        for answer in (preflight, sent, refused):
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert "Retry-After" in answer.headers["access-control-expose-headers"]

    def test_settings_lead_a_library_to_where_events_are_taken(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        answer = tracking.get(
            f"/v1/projects/{connection.write_key}/settings", headers={"Origin": "https://a.example"}
        )
        assert answer.headers["access-control-allow-origin"] == "*"
        segment = answer.json()["integrations"]["Segment.io"]
        url = f"{segment['protocol']}://{segment['apiHost']}/t"
        accepted(httpx.post(url, json={**CLICK, "writeKey": segment["apiKey"]}))
        delivered(sink, 1)
        assert tracking.get(f"/v1/projects/{secrets.token_hex(16)}/settings").status_code == 404


def _batch_of(item: bytes, connection: Connection) -> bytes:
    return b'{"writeKey":"%s","batch":[%s]}' % (connection.write_key.encode(), item)


def _batch_of_bytes(size: int, connection: Connection) -> bytes:
    item = json.dumps({**CLICK, "properties": {"long": "x" * 10_000}}).encode()
    body = _batch_of(b",".join([item] * 40), connection)
    return body[:-1] + b" " * (size - len(body)) + b"}"


class TestPixels:
    """Events by image."""

    def test_an_image_whose_data_cannot_be_read_is_still_an_image(self, tracking: httpx.Client) -> None:
        answer = tracking.get("/v1/pixel/track", params={"data": "%%%"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
        assert answer.content.startswith(b"GIF89a")

    def test_parameters_with_dots_are_an_event(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        query = {"userId": "u", "event": "Opened", "properties.subject": "S", "writeKey": connection.write_key}
        assert tracking.get("/v1/pixel/track", params=query).headers["content-type"] == "image/gif"
        (event,) = delivered(sink, 1)
        assert (event["type"], event["event"], event["properties"]) == ("track", "Opened", {"subject": "S"})

    @pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
    def test_base64_without_padding_is_an_event(
        self, tracking: httpx.Client, connection: Connection, sink: Sink, encode: Any
    ) -> None:
        event = {**CLICK, "name": "ÿ?>~ü", "writeKey": connection.write_key}
        data = encode(json.dumps(event, ensure_ascii=False).encode()).decode().rstrip("=")
        assert tracking.get("/v1/pixel/identify", params={"data": data}).is_success
        (arrived,) = delivered(sink, 1)
        assert (arrived["type"], arrived["name"]) == ("identify", "ÿ?>~ü")


class TestFailedOnIngest:
    """Accepted with 200 and accounted for afterwards."""

    def test_every_broken_rule_has_its_reason_and_the_good_items_go_on(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        broken: dict[str, list[Any]] = {
            "no_user_anon_id": [{**CLICK, "userId": None}],
            "id_not_string": [{**CLICK, "userId": 123}, {**CLICK, "userId": "", "anonymousId": "a"}],
            "event_not_defined": [{"type": "track", "userId": "u"}],
            "event_not_string": [{**CLICK, "event": 7}],
            "properties_not_object": [{**CLICK, "properties": []}, {**CLICK, "properties": "text"}],
            "traits_not_object": [{"type": "identify", "userId": "u", "traits": [1]}],
            "name_not_string": [{"type": "page", "userId": "u", "name": 1}],
            "category_not_string": [{"type": "screen", "userId": "u", "category": ""}],
            "id_required": [{"type": "group", "userId": "u"}, {"type": "alias", "userId": "u"}],
            "bad_request": [{**CLICK, "type": "click"}, 7, None, {**CLICK, "messageId": "m" * 101}],
            "device_advertisingid_should_be_string": [{**CLICK, "context": {"device": {"advertisingId": 1}}}],
            "consent_version_should_be_number": [{**CLICK, "context": {"consent": {"version": "2"}}}],
        }
        good = {**CLICK, "properties": None, "traits": None, "anonymousId": None, "context": None}
        batch(tracking, connection, good, *[item for items in broken.values() for item in items], CLICK)
        delivered(sink, 2)
        expected = {reason: len(items) for reason, items in broken.items()}
        assert reasons(public_api, "failed-on-ingest", connection, sum(expected.values())) == expected
        public_api.wait_for_count("successfully-received", connection, 2)

    def test_a_batch_without_items_is_one_failure(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection
    ) -> None:
        batch(tracking, connection)
        assert reasons(public_api, "failed-on-ingest", connection, 1) == {"empty_batch": 1}

    def test_of_2501_items_the_first_2500_are_received(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection
    ) -> None:
        public_api.delete(f"/destinations/{connection.destination_id}")
        batch(tracking, connection, *[{**CLICK, "event": "Kept"}] * 2500, {**CLICK, "event": "Surplus"})
        public_api.wait_for_count("successfully-received", connection, 2500)
        refused = public_api.delivery_overview("failed-on-ingest", connection, **{"groupBy.0": "eventName"})
        assert [(each["eventName"], each["total"]) for each in refused["dataset"]] == [("Surplus", 1)]

    def test_events_of_a_disabled_source_fail_until_it_is_enabled_again(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        public_api.patch(f"/sources/{connection.source_id}", {"enabled": False})
        track(tracking, connection, event="While disabled")
        assert reasons(public_api, "failed-on-ingest", connection, 1) == {"source_disabled": 1}
        public_api.patch(f"/sources/{connection.source_id}", {"enabled": True})
        track(tracking, connection, event="Afterwards")
        assert [each["event"] for each in delivered(sink, 1)] == ["Afterwards"]


class TestWhatAnEventBecomes:
    """Times, ids, address and context, as a webhook gets them."""

    def test_the_clock_of_the_client_is_corrected(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        track(tracking, connection, timestamp="2020-05-01T12:00:00.000Z", sentAt="2020-05-01T12:05:00.000Z")
        (event,) = delivered(sink, 1)
        assert moment(event["receivedAt"]) - moment(event["timestamp"]) == timedelta(minutes=5)
        assert event["originalTimestamp"] == "2020-05-01T12:00:00.000Z"
        assert event["sentAt"] == "2020-05-01T12:05:00.000Z"

    @pytest.mark.parametrize(
        ("sent", "timestamp", "original"),
        [
            ({"timestamp": "2012-12-02T00:30:08.276Z"}, "2012-12-02T00:30:08.276Z", "2012-12-02T00:30:08.276Z"),
            ({"timestamp": "2015-2-02T00:30:08.276Z"}, "2015-02-02T00:30:08.276Z", "2015-2-02T00:30:08.276Z"),
            (
                {"timestamp": "2012-12-02T00:30:08Z", "sentAt": "no"},
                "2012-12-02T00:30:08.000Z",
                "2012-12-02T00:30:08Z",
            ),
            ({"sentAt": "2012-12-02T00:30:08Z"}, None, "2012-12-02T00:30:08Z"),
            ({"timestamp": 1700000000}, None, 1700000000),
            ({"timestamp": "yesterday"}, None, "yesterday"),
            ({}, None, None),
        ],
        ids=["alone", "short month", "unreadable sentAt", "sentAt alone", "epoch", "unreadable", "none"],
    )
    def test_a_time_that_cannot_be_corrected_is_kept_or_that_of_receipt(
        self,
        tracking: httpx.Client,
        connection: Connection,
        sink: Sink,
        sent: Event,
        timestamp: str | None,
        original: Any,
    ) -> None:
        track(tracking, connection, **sent)
        (event,) = delivered(sink, 1)
        assert event["timestamp"] == (timestamp or event["receivedAt"])
        assert event["originalTimestamp"] == (original or event["receivedAt"])

    def test_of_one_message_id_at_two_sources_the_second_vanishes(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        other = public_api.connect(f"{sink.url}/other", metadata_id=HTTP_API)
        track(tracking, connection, messageId="the-same")
        track(tracking, other, messageId="the-same")
        track(tracking, other, messageId="another")
        sink.wait_for(1, path="/other")
        public_api.wait_for_count("successfully-received", other, 1)
        public_api.wait_for_count("failed-on-ingest", other, 0)
        assert [each.event["messageId"] for each in sink.arrivals("/other")] == ["another"]

    def test_two_equal_events_without_ids_are_both_kept(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        for _ in range(2):
            track(tracking, connection)
        first, second = delivered(sink, 2)
        assert first["messageId"] != second["messageId"]
        public_api.wait_for_count("successfully-received", connection, 2)

    def test_a_servers_address_is_added_only_on_request(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        track(tracking, connection, event="silent")
        track(tracking, connection, event="direct", context={"direct": True})
        track(tracking, connection, event="suppressed", context={"direct": True, "ip": "0.0.0.0"})
        track(tracking, connection, event="own", context={"ip": "198.51.100.7"})
        addresses = {event["event"]: event.get("context", {}).get("ip") for event in delivered(sink, 4)}
        assert addresses == {
            "silent": None,
            "direct": "127.0.0.1",
            "suppressed": "0.0.0.0",
            "own": "198.51.100.7",
        }

    def test_a_browsers_address_is_added_unless_it_has_one(
        self, tracking: httpx.Client, public_api: PublicApi, sink: Sink
    ) -> None:
        website = public_api.connect(sink.url, metadata_id=JAVASCRIPT)
        track(tracking, website, event="silent")
        track(tracking, website, event="suppressed", context={"ip": "0.0.0.0"})
        addresses = {event["event"]: event["context"]["ip"] for event in delivered(sink, 2)}
        assert addresses == {"silent": "127.0.0.1", "suppressed": "0.0.0.0"}

    def test_context_and_integrations_of_a_batch_reach_every_item_and_the_item_wins(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        own = {**CLICK, "event": "own", "context": {"ip": "198.51.100.7", "device": {"id": "d-2"}}}
        envelope = {"device": {"id": "d-1", "type": "ios"}}
        sent_at = "2020-05-01T12:05:00.000Z"
        options = {"Webhooks": {"option": 1}}
        batch(tracking, connection, own, CLICK, context=envelope, integrations=options, sentAt=sent_at)
        events = {event["event"]: event for event in delivered(sink, 2)}
        assert events["own"]["context"] == {"ip": "198.51.100.7", "device": {"id": "d-2", "type": "ios"}}
        assert events["Clicked"]["context"] == envelope
        assert {each["sentAt"] for each in events.values()} == {sent_at}
        assert [each["integrations"] for each in events.values()] == [options, options]
        assert len({each["receivedAt"] for each in events.values()}) == 1

    def test_what_the_pipeline_does_not_know_travels_on_untouched(
        self, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        unknown = {"email": "a@shop.example", "nothing": None, "deep": [{"ü": [1.5, {}]}], "context": {"x": None}}
        track(tracking, connection, **unknown, _metadata={"bundled": []})
        (event,) = delivered(sink, 1)
        assert {name: event[name] for name in unknown} == unknown
        set_by_the_server = {"type", "messageId", "timestamp", "originalTimestamp", "receivedAt", "version"}
        sent = {"event", "userId", *unknown}
        assert set(event) == sent | set_by_the_server | {"channel", "projectId"}


class TestSuppressedUsers:
    """What is sent of them is answered, and then there was nothing."""

    def test_of_a_suppressed_user_nothing_is_delivered_counted_shown_or_archived(
        self,
        server: RunningServer,
        tracking: httpx.Client,
        public_api: PublicApi,
        connection: Connection,
        sink: Sink,
    ) -> None:
        gone = f"gone-{secrets.token_hex(8)}"
        assert mainstem(server, "suppress", "add", gone) == "1 user is suppressed.\n"
        tracking.get(f"/v1/projects/{secrets.token_hex(16)}/settings")  # has it read the configuration anew
        track(tracking, connection, userId=gone, messageId=f"m-{gone}")
        batch(tracking, connection, {**CLICK, "userId": gone}, {**CLICK, "event": "Kept"}, {**CLICK, "userId": gone})
        track(tracking, connection, userId=None, anonymousId="a", event="Nobody")
        assert [event["event"] for event in delivered(sink, 2)] == ["Kept", "Nobody"]
        public_api.wait_for_count("successfully-received", connection, 2)
        public_api.wait_for_count("failed-on-ingest", connection, 0)
        with pytest.raises(AssertionError, match="Nothing is known"):
            mainstem(server, "trace", f"m-{gone}")
        replayed = mainstem(server, "replay", "--from", "1h", "--source", connection.source_id, "--dry-run")
        assert replayed.startswith("2 events")
        assert gone not in replayed
        mainstem(server, "suppress", "remove", gone)
        tracking.get(f"/v1/projects/{secrets.token_hex(16)}/settings")
        track(tracking, connection, userId=gone, event="Back")
        assert [event["event"] for event in delivered(sink, 3)] == ["Kept", "Nobody", "Back"]


class TestIntegrations:
    """What the event itself says of its destinations."""

    @pytest.mark.parametrize(
        "integrations",
        [{"webhooks": False}, {"All": False, "Webhooks": True}, {"All": False, "Webhooks": {"option": 1}}, [], None],
        ids=str,
    )
    def test_an_event_goes_where_it_does_not_say_no(
        self, tracking: httpx.Client, connection: Connection, sink: Sink, integrations: Any
    ) -> None:
        track(tracking, connection, integrations=integrations)
        assert [event["integrations"] for event in delivered(sink, 1)] == [integrations]

    def test_an_event_that_says_no_is_filtered_at_the_destination(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection
    ) -> None:
        for integrations in ({"All": False}, {"all": False}, {"Webhooks": False}, {"All": True, "Webhooks": False}):
            track(tracking, connection, integrations=integrations)
        filtered = reasons(public_api, "filtered-at-destination", connection, 4)
        assert filtered == {"FILTERED_BY_INTEGRATIONS_OBJECT": 4}
        public_api.wait_for_count("successfully-received", connection, 4)
        public_api.wait_for_count("successful-delivery", connection, 0)

    def test_an_event_that_says_no_to_all_destinations_leaves_its_source_whole_for_warehouses(
        self, server: RunningServer, tracking: httpx.Client, public_api: PublicApi, connection: Connection
    ) -> None:
        track(tracking, connection, integrations={"All": False})
        public_api.wait_for_count("filtered-at-destination", connection, 1)
        public_api.wait_for_count("successfully-received", connection, 1)
        public_api.wait_for_count("filtered-at-source", connection, 0)
        kept = mainstem(server, "replay", "--from", "1h", "--source", connection.source_id, "--dry-run")
        assert kept.startswith("1 event")

    def test_what_the_browser_sent_itself_is_not_sent_again(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        track(tracking, connection, event="Both", _metadata={"bundled": ["Amplitude", "Webhooks"]})
        track(tracking, connection, event="Other", _metadata={"bundled": ["Amplitude"]})
        (event,) = delivered(sink, 1)
        assert event["event"] == "Other"
        assert "_metadata" not in event
        filtered = reasons(public_api, "filtered-at-destination", connection, 1)
        assert filtered == {"MESSAGE_SENT_CLIENT_SIDE": 1}


PRODUCTS = {"properties": {"products": [{"sku": "a", "price": 1}, {"sku": "b", "price": 2}], "price": 3}}


class TestDestinationFilters:
    """Filters between a source and one destination."""

    @pytest.mark.parametrize(
        ("condition", "event"),
        [
            ("length( userId ) < 1", {"userId": None, "anonymousId": "a"}),
            ("length(properties.name) = 3", {"properties": {"name": "ア"}}),
            ("properties.price != 5", {"properties": {"price": "5"}}),
            ('type = "page" or type = "track" and event = "Clicked"', {}),
            ('match(event, "Click*")', {}),
            (r'properties.first\ name = "A"', {"properties": {"first name": "A"}}),
            ("all", {}),
            ('received_at > "2020"', {}),
        ],
    )
    def test_an_event_that_matches_is_dropped_for_this_destination_alone(
        self,
        tracking: httpx.Client,
        public_api: PublicApi,
        connection: Connection,
        sink: Sink,
        condition: str,
        event: Event,
    ) -> None:
        public_api.add_webhook(connection.source_id, f"{sink.url}/unfiltered")
        add_filter(public_api, connection, condition, DROP)
        track(tracking, connection, **event)
        assert reasons(public_api, "filtered-at-destination", connection, 1) == {"FILTERED_BY_RULES": 1}
        sink.wait_for(1, path="/unfiltered")
        assert [each.path for each in sink.arrivals()] == ["/unfiltered"]
        public_api.wait_for_count("successfully-received", connection, 1)

    @pytest.mark.parametrize(
        ("condition", "event"),
        [
            ('match(event, "Button")', {"event": "Button Clicked"}),
            ("properties.price = 5", {"properties": {"price": "5"}}),
            ('event = "clicked"', {}),
            ('type = "page" or type = "track" and event = "X"', {}),
            ("properties.missing > 0", {}),
        ],
    )
    def test_an_event_that_does_not_match_is_delivered_untouched(
        self,
        tracking: httpx.Client,
        public_api: PublicApi,
        connection: Connection,
        sink: Sink,
        condition: str,
        event: Event,
    ) -> None:
        add_filter(public_api, connection, condition, DROP)
        track(tracking, connection, **event)
        (arrived,) = delivered(sink, 1)
        assert {name: arrived[name] for name in event} == event

    @pytest.mark.parametrize(
        ("action", "event", "left"),
        [
            (
                {"type": "DROP_PROPERTIES", "fields": {"properties.products": ["price"]}},
                PRODUCTS,
                {"properties": {"products": [{"sku": "a"}, {"sku": "b"}], "price": 3}},
            ),
            ({"type": "ALLOW_PROPERTIES", "fields": {"traits": ["email"]}}, PRODUCTS, PRODUCTS),
            (
                {"type": "ALLOW_PROPERTIES", "fields": {"properties": ["price"]}},
                PRODUCTS,
                {"properties": {"price": 3}},
            ),
            ({"type": "DROP_PROPERTIES", "fields": {"": ["userId"]}}, {"anonymousId": "a"}, {"anonymousId": "a"}),
        ],
        ids=["in every element", "unnamed paths stay", "only the named key stays", "at the root"],
    )
    def test_properties_are_taken_out(
        self,
        tracking: httpx.Client,
        public_api: PublicApi,
        connection: Connection,
        sink: Sink,
        action: Event,
        event: Event,
        left: Event,
    ) -> None:
        add_filter(public_api, connection, "all", [action])
        track(tracking, connection, **event)
        (arrived,) = delivered(sink, 1)
        assert {name: arrived[name] for name in left} == left
        assert ("userId" in arrived) == ("" not in action["fields"])

    def test_a_filter_that_cannot_be_read_is_refused_so_that_none_lets_secrets_through(
        self, public_api: PublicApi, connection: Connection, server: RunningServer
    ) -> None:
        body = {
            "sourceId": connection.source_id,
            "if": 'userId = oops"',
            "actions": [{"type": "DROP_PROPERTIES", "fields": {"traits": ["email"]}}],
            "title": "F",
            "enabled": True,
        }
        url = f"{server.api_url}/destination/{connection.destination_id}/filters"
        answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {server.token}"})
        assert answer.status_code == 422
        assert [each["field"] for each in answer.json()["errors"]] == ["if"]

    def test_two_only_send_filters_must_both_hold(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        add_filter(public_api, connection, '!(event = "Clicked" or event = "Bought")', DROP)
        add_filter(public_api, connection, '!(event = "Bought")', DROP)
        track(tracking, connection, event="Clicked")
        track(tracking, connection, event="Bought")
        assert [event["event"] for event in delivered(sink, 1)] == ["Bought"]
        assert reasons(public_api, "filtered-at-destination", connection, 1) == {"FILTERED_BY_RULES": 1}

    def test_a_user_is_always_or_never_in_a_sample_by_user(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        add_filter(public_api, connection, "all", [{"type": "SAMPLE", "percent": 0.25, "path": "userId"}])
        for _ in range(2):
            batch(tracking, connection, *[{**CLICK, "userId": f"user-{number}"} for number in range(400)])
        filtered = eventually(
            lambda: public_api.delivery_overview("filtered-at-destination", connection)["total"],
            lambda total: total >= 800 * 0.5,
        )
        public_api.wait_for_count("successfully-received", connection, 800)
        kept = [event["userId"] for event in delivered(sink, 800 - filtered)]
        assert 800 - filtered == len(kept)
        assert 60 <= len(set(kept)) <= 140, "a quarter of 400, within four standard deviations"
        assert all(kept.count(user) == 2 for user in kept)


class TestDeliveries:
    """What the counts say of partners that fail."""

    def test_a_disabled_destination_gets_and_counts_nothing(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        other = public_api.add_webhook(connection.source_id, f"{sink.url}/enabled")
        public_api.patch(f"/destinations/{connection.destination_id}", {"enabled": False})
        track(tracking, connection)
        enabled = Connection(connection.source_id, connection.write_key, other)
        public_api.wait_for_count("successful-delivery", enabled, 1)
        assert [each.path for each in sink.arrivals()] == ["/enabled"]
        for stage in ("filtered-at-destination", "failed-delivery", "successful-delivery"):
            public_api.wait_for_count(stage, connection, 0)

    def test_a_partner_that_recovers_gets_the_event_at_the_second_attempt(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        sink.answer_next([503])
        track(tracking, connection)
        delivered(sink, 1)
        grouping = {"groupBy.0": "discardReason"}
        (group,) = public_api.wait_for_count("successful-delivery", connection, 1, **grouping)["dataset"]
        assert (group["discardReason"], group["total"], group["totalRetryCount"]) == ("successes.attempt.2", 1, 1)
        assert [each["retryCount"] for each in group["series"] if each["count"]] == [1]
        second = {"filter": json.dumps({"discardReason": ["successes.attempt.2"]})}
        public_api.wait_for_count("successful-delivery", connection, 1, **second)
        first = {"filter": json.dumps({"discardReason": ["successes.attempt.1"]})}
        public_api.wait_for_count("successful-delivery", connection, 0, **first)
        public_api.wait_for_count("failed-delivery", connection, 0)

    def test_an_event_that_the_partner_refuses_is_not_tried_again(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        sink.answer_next([400])
        track(tracking, connection, event="Refused")
        assert reasons(public_api, "failed-delivery", connection, 1) == {"400": 1}
        track(tracking, connection, event="Taken")
        delivered(sink, 1)
        assert [each.event["event"] for each in sink.arrivals()] == ["Refused", "Taken"]

    def test_an_event_that_waits_for_its_next_attempt_is_neither_delivered_nor_failed(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
    ) -> None:
        sink.answer_next([429] * 3)
        track(tracking, connection)
        delivered(sink, 1)
        public_api.wait_for_count("successful-delivery", connection, 1)
        path = f"/destinations/{connection.destination_id}/delivery-metrics"
        metrics = public_api.get(path, {"sourceId": connection.source_id})["deliveryMetricsSummary"]["metrics"]
        assert {each["metricName"]: each["total"] for each in metrics}["successes"] == 1
        public_api.wait_for_count("failed-delivery", connection, 0)


class TestUsage:
    """What is counted towards the month."""

    def test_a_batch_of_50_is_50_calls_and_50_events(
        self, tracking: httpx.Client, public_api: PublicApi, connection: Connection
    ) -> None:
        batch(tracking, connection, *[CLICK] * 50, {**CLICK, "userId": None})
        public_api.wait_for_count("successfully-received", connection, 50)
        path = "/usage/api-calls/sources/daily"
        assert _last_of(public_api, path, connection, "dailyPerSourceAPICallsUsage")["apiCalls"] == "50"
        volume = public_api.get("/events/volume", {**window(), "sourceId": [connection.source_id]})
        assert [each["total"] for each in volume["result"]] == [50]

    @pytest.mark.parametrize(("devices", "tracked"), [(["app"], 2), (["app", "web"], 1)], ids=["one", "both"])
    def test_whoever_logs_in_on_all_devices_is_one_tracked_user(
        self,
        tracking: httpx.Client,
        public_api: PublicApi,
        connection: Connection,
        devices: list[str],
        tracked: int,
    ) -> None:
        for device in ("app", "web"):
            track(tracking, connection, userId=None, anonymousId=f"{device}-{connection.source_id}")
        for device in devices:
            track(tracking, connection, anonymousId=f"{device}-{connection.source_id}")
        public_api.wait_for_count("successfully-received", connection, 2 + len(devices))
        users = _last_of(public_api, "/usage/mtu/sources/daily", connection, "dailyPerSourceMTUUsage")
        assert int(users["identified"]) + int(users["neverIdentified"]) == tracked
        assert (users["anonymous"], users["anonymousIdentified"]) == ("2", str(len(devices)))


def _last_of(public_api: PublicApi, path: str, connection: Connection, key: str) -> dict[str, Any]:
    """The latest day of this month that a source has, on whatever page."""
    query = {"period": datetime.now(UTC).strftime("%Y-%m-01"), "pagination.count": "1000"}
    days: list[dict[str, Any]] = []
    cursor: str | None = "MA=="
    while cursor:
        page = public_api.get(path, {**query, "pagination.cursor": cursor})
        days += [each for each in page[key] if each["sourceId"] == connection.source_id]
        cursor = page["pagination"].get("next")
    return days[-1]


def test_every_event_ends_in_exactly_one_count(
    tracking: httpx.Client, public_api: PublicApi, connection: Connection, sink: Sink
) -> None:
    """Received = filtered + delivered + failed, once nothing is in flight; and the counts are those of the sink."""
    add_filter(public_api, connection, 'event = "Filtered"', DROP)
    sink.answer_next([400, 503, 200, 404])
    names = ["Filtered", "Clicked", "Bought"] * 10
    batch(tracking, connection, *[{**CLICK, "event": name, "userId": f"u-{name}"} for name in names], 7)
    public_api.wait_for_count("successfully-received", connection, 30)
    public_api.wait_for_count("filtered-at-destination", connection, 10)
    public_api.wait_for_count("failed-delivery", connection, 2)
    public_api.wait_for_count("successful-delivery", connection, 18)
    public_api.wait_for_count("failed-on-ingest", connection, 1)
    assert sorted(_statuses(sink.arrivals())) == [200] * 18 + [400, 404, 503]


def _statuses(arrivals: list[Arrival]) -> list[int]:
    return [each.status for each in arrivals]
