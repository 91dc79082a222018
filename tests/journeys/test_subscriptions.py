"""Mappings of a destination configured with Segment's own SDKs, and what they do to the events of its source."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contract.proves import proves
from journeys.clients import GO_PROGRAM, installed, node_program
from journeys.public_api import Connection, PublicApi
from journeys.running import RunningServer, running_server
from journeys.test_public_api_sdks import Sdk
from public_api.actions import MAILER, SEND, write_catalogue

pytestmark = pytest.mark.clients

COMMANDS = {"typescript": lambda: node_program("public_api.js"), "go": lambda: [str(installed(GO_PROGRAM))]}
SETTINGS = {"subject": {"@template": "Order {{properties.id}}"}, "to": {"@path": "$.context.traits.email"}}
SCHEDULES: list[dict[str, Any]] = [
    {"strategy": "PERIODIC", "config": {"interval": "1h"}},
    {"strategy": "SPECIFIC_DAYS", "config": {"days": [1, 5], "hours": [8], "timezone": "Europe/Berlin"}},
    {"strategy": "CRON", "config": {"spec": "0 8 * * *", "timezone": "UTC"}},
    {"strategy": "DBT_CLOUD", "config": {"jobId": "1", "accountId": "2"}},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose catalogue has a destination with actions."""
    folder = tmp_path_factory.mktemp("mainstem")
    write_catalogue(folder / "packages")
    with running_server(folder, "journeys-" + "0" * 64, {"MAINSTEM_PACKAGES": str(folder / "packages")}) as running:
        yield running


@pytest.fixture(scope="module", params=COMMANDS)
def sdk(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Sdk]:
    each = Sdk(COMMANDS[request.param](), server)
    try:
        yield each
    finally:
        each.close()


@pytest.fixture(scope="module")
def go(server: RunningServer) -> Iterator[Sdk]:
    """The Go SDK, for what the TypeScript SDK on npm (47.0.0) does not know."""
    each = Sdk(COMMANDS["go"](), server)
    try:
        yield each
    finally:
        each.close()


@pytest.fixture
def connection(sdk: Sdk) -> Connection:
    return connected(sdk)


def connected(sdk: Sdk) -> Connection:
    """A source and the destination with actions that it is connected to."""
    slug = f"mapped-{secrets.token_hex(5)}"
    body: dict[str, Any] = {"slug": slug, "enabled": True, "metadataId": "iUM16Md8P2"}
    source = sdk.call("createSource", body=body)["source"]
    body = {"sourceId": source["id"], "metadataId": MAILER, "enabled": True, "settings": {}}
    destination = sdk.call("createDestination", body=body)["destination"]
    return Connection(source["id"], source["writeKeys"][0], destination["id"])


def new_model(sdk: Sdk) -> str:
    """The id of a model of a database."""
    body: dict[str, Any] = {"slug": f"rows-{secrets.token_hex(5)}", "enabled": True, "metadataId": "WvlvcGEJsT"}
    source = sdk.call("createSource", body=body)["source"]
    body = {
        "sourceId": source["id"], "name": "Orders", "description": " ", "enabled": True,
        "query": "SELECT * FROM orders", "queryIdentifierColumn": "id",
    }  # fmt: skip
    made: str = sdk.call("createReverseEtlModel", body=body)["reverseEtlModel"]["id"]
    return made


def create(sdk: Sdk, connection: Connection, **more: Any) -> dict[str, Any]:
    body = {
        "name": "Order mail", "actionId": SEND, "trigger": 'type = "track" and event = "Order Completed"',
        "enabled": True, "settings": SETTINGS,
    }  # fmt: skip
    answer = sdk.call("createDestinationSubscription", connection.destination_id, body=body | more)
    made: dict[str, Any] = answer["destinationSubscription"]
    return made


def send(server: RunningServer, connection: Connection, event: str) -> None:
    body = {"userId": "u1", "event": event, "writeKey": connection.write_key}
    assert httpx.post(f"{server.tracking_url}/v1/track", json=body).status_code == 200


@proves(
    "createDestinationSubscription", "getSubscriptionFromDestination", "listSubscriptionsFromDestination", level=2
)
def test_a_mapping_comes_back_as_it_was_sent(sdk: Sdk, connection: Connection) -> None:
    made = create(sdk, connection)
    assert (made["settings"], made["actionSlug"], made["modelId"]) == (SETTINGS, "send", "")
    path = (connection.destination_id, made["id"])
    assert sdk.call("getSubscriptionFromDestination", *path)["subscription"] == made
    listed = sdk.call("listSubscriptionsFromDestination", connection.destination_id, pagination={"count": 10})
    assert listed["subscriptions"] == [made]


@proves("updateSubscriptionForDestination", "removeSubscriptionFromDestination", level=2)
def test_a_mapping_is_changed_and_removed(sdk: Sdk, connection: Connection) -> None:
    path = (connection.destination_id, create(sdk, connection)["id"])
    body = {"input": {"name": "Renamed", "enabled": False, "settings": {"subject": "Thanks"}}}
    changed = sdk.call("updateSubscriptionForDestination", *path, body=body)["subscription"]
    assert (changed["name"], changed["enabled"], changed["settings"]) == ("Renamed", False, {"subject": "Thanks"})
    assert sdk.call("removeSubscriptionFromDestination", *path) == {"status": "SUCCESS"}
    assert sdk.refusal("getSubscriptionFromDestination", *path)["status"] == 404


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each["strategy"])
def test_the_schedule_of_a_model_is_read_by_clients_that_forbid_unknown_keys(
    go: Sdk, schedule: dict[str, Any]
) -> None:
    connection = connected(go)
    path = (connection.destination_id, create(go, connection, modelId=new_model(go))["id"])
    go.call("updateSubscriptionForDestination", *path, body={"input": {"reverseETLSchedule": schedule}})
    assert go.call("getSubscriptionFromDestination", *path)["subscription"]["reverseETLSchedule"] == schedule


def test_what_can_never_fire_is_refused_with_the_reason(sdk: Sdk, connection: Connection) -> None:
    body = {"name": "n", "actionId": SEND, "trigger": "type = 'track'", "enabled": True, "settings": SETTINGS}
    refused = sdk.refusal("createDestinationSubscription", connection.destination_id, body=body)
    assert refused["status"] == 422
    assert "single quotes" in refused["errors"][0]["message"]


def test_an_event_that_fires_no_enabled_mapping_is_counted_as_such(
    sdk: Sdk, server: RunningServer, public_api: PublicApi, connection: Connection
) -> None:
    create(sdk, connection)
    create(sdk, connection, trigger='type = "track"', enabled=False)
    send(server, connection, "Cart Viewed")
    counted = public_api.wait_for_count("filtered-at-destination", connection, 1, groupBy="discardReason")
    assert counted["dataset"][0]["discardReason"] == "NO_MATCHING_MAPPING"
