"""What an operation configures happens to events, over real HTTP: plans, transformations, functions.

Source: Tracking API reference, product guides "Protocols" and "Functions"; judgements are those that the code
under test names.
"""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import pytest

from journeys.public_api import Connection, PublicApi, eventually
from journeys.running import RunningServer
from journeys.sink import Sink

Fields = dict[str, Any]


@pytest.fixture
def connection(public_api: PublicApi, sink: Sink) -> Connection:
    return public_api.connect(sink.url + "/hook")


def send(tracking: httpx.Client, connection: Connection, event: Fields, type: str = "track") -> None:
    body = {"userId": "u1", "messageId": secrets.token_hex(8), "writeKey": connection.write_key, **event}
    assert tracking.post(f"/v1/{type}", json=body).json() == {"success": True}


def make_function(public_api: PublicApi, code: str, kind: str) -> Fields:
    body = {"code": code, "displayName": f"Journey {secrets.token_hex(4)}", "resourceType": kind}
    found: Fields = public_api.post("/functions", body)["function"]
    return found


def insert(public_api: PublicApi, function: Fields, integration_id: str) -> str:
    body = {
        "functionId": function["id"].partition("_")[2],
        "integrationId": integration_id,
        "name": "In front",
        "enabled": True,
        "settings": {},
    }
    made = public_api.post("/insert-function-instances", body)
    return str(made["insertFunctionInstance"]["id"])


def names(sink: Sink, count: int) -> list[str]:
    return [each.event.get("event", each.event["type"]) for each in sink.wait_for(count, path="/hook")]


def make_plan(public_api: PublicApi, source_id: str, *rules: Fields) -> None:
    plan = public_api.post("/tracking-plans", {"name": "Journey", "type": "LIVE"})["trackingPlan"]
    rule = {"type": "TRACK", "version": 1}
    replaced = public_api._http.put(
        f"/tracking-plans/{plan['id']}/rules", json={"rules": [{**rule, **each} for each in rules]}
    )
    assert replaced.is_success, replaced.text
    public_api.post(f"/tracking-plans/{plan['id']}/sources", {"sourceId": source_id})


def planned(**properties: Fields) -> Fields:
    return {"type": "object", "properties": {"properties": {"type": "object", "properties": properties}}}


class TestTrackingPlans:
    """Blocked and trimmed where the plan says so, and copied to where it says so."""

    def test_an_unplanned_event_is_blocked_and_a_copy_arrives_in_another_source_that_counts_it(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        other = public_api.connect(sink.url + "/blocked")
        make_plan(public_api, connection.source_id, {"key": "Subscription Cancelled", "jsonSchema": planned()})
        settings = {"track": {"allowUnplannedEvents": False}, "forwardingBlockedEventsTo": other.source_id}
        public_api.patch(f"/sources/{connection.source_id}/settings", settings)
        send(tracking, connection, {"event": "subscription_cancelled"})
        send(tracking, connection, {"event": "Subscription Cancelled"})
        assert names(sink, 1) == ["Subscription Cancelled"]
        [copied] = sink.wait_for(1, path="/blocked")
        assert copied.event["event"] == "subscription_cancelled"
        by_reason = public_api.wait_for_count("filtered-at-source", connection, 1, **{"groupBy.0": "discardReason"})
        assert [each["discardReason"] for each in by_reason["dataset"]] == ["unplanned"]
        public_api.wait_for_count("successfully-received", connection, 2)
        public_api.wait_for_count("successfully-received", other, 1)

    def test_an_extra_property_is_left_out_and_named(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        make_plan(public_api, connection.source_id, {"key": "E", "jsonSchema": planned(price={"type": "number"})})
        public_api.patch(
            f"/sources/{connection.source_id}/settings", {"track": {"allowUnplannedEventProperties": False}}
        )
        send(tracking, connection, {"event": "E", "properties": {"price": 1, "extra": 2}})
        [arrival] = sink.wait_for(1, path="/hook")
        assert arrival.event["properties"] == {"price": 1}
        assert arrival.event["context"]["protocols"]["omitted"] == ["extra"]

    def test_two_violations_arrive_as_two_events_in_the_source_for_violations(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        other = public_api.connect(sink.url + "/violations")
        schema = planned(price={"type": "integer"}, size={"type": "string"})
        make_plan(public_api, connection.source_id, {"key": "E", "jsonSchema": schema})
        public_api.patch(f"/sources/{connection.source_id}/settings", {"forwardingViolationsTo": other.source_id})
        send(tracking, connection, {"event": "E", "properties": {"price": "1", "size": 2}})
        arrivals = sink.wait_for(2, path="/violations")
        assert {each.event["event"] for each in arrivals} == {"Violation Generated"}
        assert {each.event["userId"] for each in arrivals} == {"schema-violations"}
        fields = {each.event["properties"]["violationField"] for each in arrivals}
        assert fields == {"properties.price", "properties.size"}
        assert names(sink, 1) == ["E"]


class TestTransformations:
    """At the source before the filters, for a destination after them."""

    def test_a_filter_sees_what_a_transformation_of_the_source_made_of_the_event(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        body = {
            "name": "T",
            "sourceId": connection.source_id,
            "enabled": True,
            "if": "event='A'",
            "newEventName": "B",
        }
        public_api.post("/transformations", body)
        drop = {"type": "DROP"}
        public_api.post(
            f"/destination/{connection.destination_id}/filters",
            {"sourceId": connection.source_id, "if": "event = 'B'", "actions": [drop], "title": "F", "enabled": True},
        )
        send(tracking, connection, {"event": "A"})
        send(tracking, connection, {"event": "C"})
        assert names(sink, 1) == ["C"]
        by_reason = {"groupBy.0": "discardReason"}
        counted = public_api.wait_for_count("filtered-at-destination", connection, 1, **by_reason)
        assert [each["discardReason"] for each in counted["dataset"]] == ["FILTERED_BY_RULES"]


class TestFunctions:
    """Functions as a destination, in front of one, behind a source, and as a source."""

    def test_a_destination_function_gets_events_and_a_throw_is_counted(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        code = (
            "async function onTrack(event, settings) {\n"
            "  if (event.event === 'Bad') throw new Error('x')\n"
            "  if (event.event === 'Invalid') throw new InvalidEventPayload('x')\n"
            f"  await fetch('{sink.url}/fn', {{method: 'POST', body: JSON.stringify(event)}})\n"
            "}"
        )
        function = make_function(public_api, code, "DESTINATION")
        body = {"sourceId": connection.source_id, "metadataId": function["catalogId"], "settings": {}}
        made = public_api.post("/destinations", body)["destination"]
        its = Connection(connection.source_id, connection.write_key, made["id"])
        for name in ("Good", "Bad", "Invalid"):
            send(tracking, connection, {"event": name, "userId": name})
        send(tracking, connection, {"userId": "u", "traits": {}}, "identify")
        [arrival] = sink.wait_for(1, path="/fn")
        assert arrival.event["event"] == "Good"
        counted = public_api.wait_for_count("filtered-at-destination", its, 3, **{"groupBy.0": "discardReason"})
        reasons = {each["discardReason"] for each in counted["dataset"]}
        assert reasons == {"bad_request", "message_rejected", "unsupported_event_type"}
        public_api.wait_for_count("successful-delivery", its, 1)

    def test_an_insert_function_changes_drops_and_blocks_what_reaches_its_destination(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        code = (
            "async function onTrack(event) {\n"
            "  if (event.event === 'Secret') throw new DropEvent('no')\n"
            "  event.properties = {...event.properties, seen: true}\n"
            "  return event\n"
            "}"
        )
        insert(public_api, make_function(code=code, public_api=public_api, kind="INSERT_DESTINATION"),
               connection.destination_id)  # fmt: skip
        send(tracking, connection, {"event": "Secret"})
        send(tracking, connection, {"name": "Home"}, "page")
        send(tracking, connection, {"event": "Open", "properties": {"a": 1}})
        [arrival] = sink.wait_for(1, path="/hook")
        assert arrival.event["properties"] == {"a": 1, "seen": True}
        counted = public_api.wait_for_count(
            "filtered-at-destination", connection, 2, **{"groupBy.0": "discardReason"}
        )
        assert {each["discardReason"] for each in counted["dataset"]} == {"dropped", "unsupported_event_type"}

    def test_a_tracking_plan_judges_what_the_insert_function_of_the_source_made_of_an_event(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        code = "async function onTrack(event) { event.event = 'Order Completed'; return event }"
        function = make_function(public_api, code, "INSERT_SOURCE")
        insert(public_api, function, connection.source_id)
        make_plan(public_api, connection.source_id, {"key": "Order Completed", "jsonSchema": planned()})
        public_api.patch(f"/sources/{connection.source_id}/settings", {"track": {"allowUnplannedEvents": False}})
        send(tracking, connection, {"event": "order_completed"})
        assert names(sink, 1) == ["Order Completed"]
        public_api.wait_for_count("successfully-received", connection, 1)

    def test_a_slow_insert_function_of_one_source_holds_up_no_other(
        self, public_api: PublicApi, tracking: httpx.Client, connection: Connection, sink: Sink
    ) -> None:
        slow = public_api.connect(sink.url + "/slow")
        code = (
            f"async function onTrack(event) {{ await fetch('{sink.url}/called', {{method: 'POST'}}); for (;;) {{}} }}"
        )
        insert(public_api, make_function(public_api, code, "INSERT_SOURCE"), slow.source_id)
        send(tracking, slow, {"event": "Never"})
        sink.wait_for(1, path="/called")
        send(tracking, connection, {"event": "At once"})
        assert names(sink, 1) == ["At once"]
        assert sink.arrivals("/slow") == []

    def test_a_source_function_makes_events_of_a_webhook(
        self, public_api: PublicApi, server: RunningServer, tracking: httpx.Client, sink: Sink
    ) -> None:
        code = (
            "async function onRequest(request, settings) {\n"
            "  const body = request.json()\n"
            "  Segment.identify({userId: body.id, traits: {email: body.email}})\n"
            "  Segment.track({userId: body.id, event: 'Hooked', properties: {via: request.headers.get('x-via')}})\n"
            "}"
        )
        function = make_function(public_api, code, "SOURCE")
        body = {"slug": f"hook-{secrets.token_hex(4)}", "enabled": True, "metadataId": function["catalogId"]}
        source = public_api.post("/sources", body)["source"]
        public_api.post(f"/functions/{function['id']}/deploy", {})
        public_api.add_webhook(source["id"], sink.url + "/hook")
        called = tracking.post(
            f"/functions/v1/{source['writeKeys'][0]}", json={"id": "u7", "email": "a@b.c"}, headers={"X-Via": "test"}
        )
        assert called.status_code == 200, called.text
        identify, track = sorted(
            (each.event for each in sink.wait_for(2, path="/hook")), key=lambda each: each["type"]
        )
        assert identify["traits"] == {"email": "a@b.c"}
        assert (track["userId"], track["event"], track["properties"]) == ("u7", "Hooked", {"via": "test"})
        its = Connection(source["id"], "", "")
        eventually(
            lambda: public_api.delivery_overview("successfully-received", its)["total"], lambda total: total == 2
        )
