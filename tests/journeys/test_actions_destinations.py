"""Destinations of Segment's open-source package at work: mappings from call to the request at the partner.

A sink stands in for every partner (`--divert-to`). Source: product guide, "Destinations Actions"; judgements are
those that the code under test names.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from journeys.public_api import Connection, PublicApi, eventually
from journeys.running import RunningServer, running_server
from journeys.sink import Arrival, Sink

pytestmark = pytest.mark.destinations

Fields = dict[str, Any]
PACKAGES = Path(__file__).parents[2] / ".packages"
AMPLITUDE = "5f7dd6d21ad74f3842b1fc47"
WEBHOOK = "614a3c7d791c91c41bae7599"
TOKEN = "actions-" + "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def partner() -> Iterator[Sink]:
    """Where every request goes instead of the partner."""
    with Sink() as each:
        yield each


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, partner: Sink) -> Iterator[RunningServer]:
    """A server with the destinations installed."""
    variables = {"MAINSTEM_PACKAGES": str(PACKAGES), "MAINSTEM_DIVERT_TO": partner.url}
    with running_server(tmp_path_factory.mktemp("actions"), TOKEN, variables) as running:
        yield running


@pytest.fixture
def api(server: RunningServer) -> Iterator[PublicApi]:
    with PublicApi(server.api_url, server.token) as each:
        each._http.headers["Accept"] = "application/vnd.segment.v1alpha+json"
        yield each


@pytest.fixture
def counts(server: RunningServer) -> Iterator[PublicApi]:
    with PublicApi(server.api_url, server.token) as each:
        yield each


def make(api: PublicApi, metadata_id: str, settings: Fields) -> tuple[Connection, dict[str, str]]:
    """A source with one destination, and the ids of its actions by slug."""
    body = {"slug": f"actions-{secrets.token_hex(6)}", "enabled": True, "metadataId": "iUM16Md8P2"}
    source = api.post("/sources", body)["source"]
    made = api.post(
        "/destinations",
        {"sourceId": source["id"], "metadataId": metadata_id, "settings": settings, "enabled": True},
    )["destination"]
    actions = {each["slug"]: each["id"] for each in made["metadata"]["actions"]}
    return Connection(source["id"], source["writeKeys"][0], made["id"]), actions


def subscribe(api: PublicApi, connection: Connection, action_id: str, **changes: Any) -> str:
    body = {"name": "Mapping", "actionId": action_id, "trigger": 'type = "track"', "enabled": True, **changes}
    made = api.post(f"/destinations/{connection.destination_id}/subscriptions", body)
    return str(made["destinationSubscription"]["id"])


def send(tracking: httpx.Client, connection: Connection, event: Fields) -> str:
    message_id = secrets.token_hex(8)
    body = {"userId": secrets.token_hex(4), "messageId": message_id, "writeKey": connection.write_key, **event}
    assert tracking.post("/v1/track", json=body).json() == {"success": True}
    return message_id


def arrivals(partner: Sink, count: int, mark: str) -> list[Arrival]:
    """The accepted requests whose body holds the mark of a test."""
    taken = partner.wait_until(
        lambda taken: sum(mark.encode() in each.body for each in taken) >= count, f"{count} requests with {mark}"
    )
    return [each for each in taken if mark.encode() in each.body]


def original_url(arrival: Arrival) -> str:
    return next(value for name, value in arrival.headers.items() if name.lower() == "mainstem-original-url")


def webhook_mapping(mark: str, **more: Any) -> Fields:
    return {"url": f"https://hooks.example.com/{mark}", "method": "POST", "data": {"@path": "$."}, **more}


def reasons(counts: PublicApi, stage: str, connection: Connection, total: int) -> set[str]:
    counted = counts.wait_for_count(stage, connection, total, **{"groupBy.0": "discardReason"})
    return {each["discardReason"] for each in counted["dataset"]}


def test_an_event_goes_through_its_mapping_to_the_partner(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client, partner: Sink
) -> None:
    connection, actions = make(api, AMPLITUDE, {"apiKey": "the-key", "secretKey": "the-secret"})
    subscribe(api, connection, actions["logEventV2"])
    mark = secrets.token_hex(6)
    send(tracking, connection, {"event": mark, "properties": {"price": 5}})
    [arrival] = arrivals(partner, 1, mark)
    assert original_url(arrival) == "https://api2.amplitude.com/2/httpapi"
    assert arrival.event["api_key"] == "the-key"
    assert arrival.event["events"][0]["event_properties"] == {"price": 5}
    counts.wait_for_count("successful-delivery", connection, 1)


def test_three_mappings_make_three_requests_of_one_event(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client, partner: Sink
) -> None:
    connection, actions = make(api, WEBHOOK, {})
    mark = secrets.token_hex(6)
    made = [subscribe(api, connection, actions["send"], settings=webhook_mapping(f"{mark}{n}")) for n in range(3)]
    send(tracking, connection, {"event": mark})
    urls = {original_url(each) for each in arrivals(partner, 3, mark)}
    assert urls == {f"https://hooks.example.com/{mark}{n}" for n in range(3)}
    counts.wait_for_count("successfully-received", connection, 1)
    counts.wait_for_count("successful-delivery", connection, 3)
    counts.wait_for_count("successful-delivery", connection, 1, **{"filter.subscriptionId.0": made[0]})


def test_a_disabled_mapping_sends_nothing_and_no_match_is_counted(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client, partner: Sink
) -> None:
    connection, actions = make(api, WEBHOOK, {})
    mark = secrets.token_hex(6)
    subscribe(api, connection, actions["send"], settings=webhook_mapping(mark), enabled=False)
    send(tracking, connection, {"event": mark})
    assert reasons(counts, "filtered-at-destination", connection, 1) == {"NO_MATCHING_MAPPING"}
    assert not [each for each in partner.arrivals() if mark.encode() in each.body]


def test_a_partner_that_answers_503_gets_the_event_again_and_nothing_counts_as_failed(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client, partner: Sink
) -> None:
    connection, actions = make(api, WEBHOOK, {})
    mark = secrets.token_hex(6)
    subscribe(api, connection, actions["send"], settings=webhook_mapping(mark))
    partner.answer_next([503])
    send(tracking, connection, {"event": mark})
    arrivals(partner, 1, mark)
    assert reasons(counts, "successful-delivery", connection, 1) == {"successes.attempt.2"}
    assert counts.delivery_overview("failed-delivery", connection)["total"] == 0


def test_a_partner_that_answers_400_fails_the_event_at_once(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client, partner: Sink
) -> None:
    connection, actions = make(api, WEBHOOK, {})
    subscribe(api, connection, actions["send"], settings=webhook_mapping("refused"))
    partner.answer_next([400])
    send(tracking, connection, {"event": "Refused"})
    assert reasons(counts, "failed-delivery", connection, 1) == {"400"}


def test_batched_events_go_out_together_by_their_batch_keys(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client, partner: Sink
) -> None:
    connection, actions = make(api, WEBHOOK, {})
    mark = secrets.token_hex(6)
    mapping = webhook_mapping(mark, url={"@template": f"https://hooks.example.com/{mark}/{{{{properties.to}}}}"},
                              enable_batching=True)  # fmt: skip
    subscribe(api, connection, actions["send"], settings=mapping)
    batch = [
        {"type": "track", "event": mark, "userId": f"u{n}", "properties": {"to": "ab"[n % 2]}} for n in range(20)
    ]
    sent = tracking.post("/v1/batch", json={"batch": batch, "writeKey": connection.write_key})
    assert sent.json() == {"success": True}
    counts.wait_for_count("successful-delivery", connection, 20)
    found = [each for each in partner.arrivals() if mark.encode() in each.body]
    sizes: dict[str, int] = {}
    for each in found:
        sizes[original_url(each)[-1]] = sizes.get(original_url(each)[-1], 0) + len(each.event)
    assert sizes == {"a": 10, "b": 10}
    assert len(found) < 20


def test_what_the_catalogue_requires_and_is_missing_is_an_invalid_setting(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client
) -> None:
    connection, actions = make(api, AMPLITUDE, {})
    subscribe(api, connection, actions["logEventV2"])
    send(tracking, connection, {"event": "E"})
    found = eventually(
        lambda: counts.delivery_overview("failed-delivery", connection, **{"groupBy.0": "discardReason"}),
        lambda each: each["total"] >= 1,
    )
    assert [each["discardReason"] for each in found["dataset"]] == ["INVALID_SETTINGS"]


def test_an_insert_function_does_not_make_another_mapping_fire(
    api: PublicApi, counts: PublicApi, tracking: httpx.Client, partner: Sink
) -> None:
    connection, actions = make(api, WEBHOOK, {})
    mark = secrets.token_hex(6)
    for name in ("Before", "After"):
        trigger = f'type = "track" and event = "{name}"'
        subscribe(api, connection, actions["send"], trigger=trigger, settings=webhook_mapping(f"{mark}-{name}"))
    code = "async function onTrack(event) { event.event = 'After'; return event }"
    body = {"code": code, "displayName": "Rewrites", "resourceType": "INSERT_DESTINATION"}
    function = api.post("/functions", body)["function"]
    api.post(
        "/insert-function-instances",
        {
            "functionId": function["id"].partition("_")[2],
            "integrationId": connection.destination_id,
            "name": "I",
            "enabled": True,
            "settings": {},
        },
    )
    send(tracking, connection, {"event": "Before", "properties": {"mark": mark}})
    counts.wait_for_count("successful-delivery", connection, 1)
    [arrival] = arrivals(partner, 1, mark)
    assert original_url(arrival).endswith("-Before")
    assert arrival.event["event"] == "After"
