"""A workspace configured and read with Segment's own SDKs, TypeScript and Go, as they are published.

Every sentence is tried with each SDK: they encode queries differently, choose other media types and decode
replies with models of their own. The Python SDK is on no package registry; who has it installed names the
Python that has it in PUBLIC_API_PYTHON, and every sentence is tried with it too.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from contract.proves import proves
from journeys.clients import CLIENTS, GO_PROGRAM, LineProgram, installed, node_program
from journeys.public_api import SHARED_SECRET, eventually, window
from journeys.running import RunningServer
from journeys.sink import Sink

pytestmark = pytest.mark.clients

JAVASCRIPT_SOURCE = "IqDTy1TpoU"
HTTP_API_SOURCE = "iUM16Md8P2"


class Sdk:
    """An SDK, its operations called by name."""

    def __init__(self, command: Sequence[str], server: RunningServer) -> None:
        self._program = LineProgram([*command, server.api_url], {"TOKEN": server.token})

    def call(self, operation: str, *path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """Return what stands under `data` of a reply that the SDK decoded; fail on a refusal."""
        answer = self._ask(operation, path, body, query)
        assert answer["decoded"], answer
        assert "errors" not in answer, f"{operation}{path}: {answer['errors']}"
        data: dict[str, Any] = answer["body"]["data"]
        return data

    def refusal(self, operation: str, *path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """Return the status and the errors of a call that the server refuses, as the SDK decoded them."""
        answer = self._ask(operation, path, body, query)
        assert answer["status"] >= 400, answer
        return answer

    def pages(self, operation: str, key: str, *path: str, count: int, **query: Any) -> list[list[Any]]:
        """Every page of a list, from the first to the one that names no next."""
        pages: list[list[Any]] = []
        pagination: dict[str, Any] = {"count": count}
        while True:
            data = self.call(operation, *path, pagination=pagination, **query)
            pages.append(data[key])
            following = data["pagination"].get("next")  # the Python SDK shows an absent key as None
            if following is None:
                return pages
            pagination = {"count": count, "cursor": following}

    def _ask(self, operation: str, path: Sequence[str], body: Any, query: Mapping[str, Any]) -> dict[str, Any]:
        question = {"operation": operation, "path": list(path), "query": query}
        return self._program.ask(question if body is None else {**question, "body": body})

    def close(self) -> None:
        """End the SDK's program."""
        self._program.close()


COMMANDS: dict[str, Callable[[], list[str]]] = {
    "typescript": lambda: node_program("public_api.js"),
    "go": lambda: [str(installed(GO_PROGRAM))],
}
if "PUBLIC_API_PYTHON" in os.environ:
    COMMANDS["python"] = lambda: [os.environ["PUBLIC_API_PYTHON"], str(CLIENTS / "public_api.py")]


@pytest.fixture(scope="module", params=COMMANDS)
def sdk(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Sdk]:
    """Each SDK in turn, for all journeys of this file."""
    sdk = Sdk(COMMANDS[request.param](), server)
    try:
        yield sdk
    finally:
        sdk.close()


def unique(name: str) -> str:
    """A slug that no other journey uses."""
    return f"{name}-{secrets.token_hex(5)}"


def make_source(sdk: Sdk, name: str = "shop", metadata_id: str = HTTP_API_SOURCE) -> dict[str, Any]:
    """Create a source and return it."""
    body = {"slug": unique(name), "enabled": True, "metadataId": metadata_id}
    source: dict[str, Any] = sdk.call("createSource", body=body)["source"]
    return source


def make_webhook(sdk: Sdk, source: dict[str, Any], url: str, name: str) -> dict[str, Any]:
    """Connect a source to a signed webhook and return the destination."""
    catalog = sdk.call("getDestinationsCatalog", pagination={"count": 200})["destinationsCatalog"]
    metadata = next(each for each in catalog if each["slug"] == "webhooks")
    body = {
        "sourceId": source["id"],
        "metadataId": metadata["id"],
        "name": name,
        "enabled": True,
        "settings": {"hooks": [{"hook": url, "headers": {"X-Shop": "one"}}], "sharedSecret": SHARED_SECRET},
    }
    destination: dict[str, Any] = sdk.call("createDestination", body=body)["destination"]
    return destination


def send(server: RunningServer, source: dict[str, Any], *events: dict[str, Any]) -> None:
    """Send events as one batch with the source's first write key."""
    batch = {"writeKey": source["writeKeys"][0], "batch": list(events)}
    answer = httpx.post(f"{server.tracking_url}/v1/batch", json=batch)
    assert answer.status_code == 200, answer.text


def track(event: str, user: str = "u1", **more: Any) -> dict[str, Any]:
    """A track call."""
    return {"type": "track", "event": event, "userId": user, **more}


@proves("getWorkspace", level=2)
def test_the_token_shows_the_workspace_it_belongs_to(sdk: Sdk) -> None:
    workspace = sdk.call("getWorkspace")["workspace"]
    assert workspace["id"]
    assert workspace["slug"]
    assert workspace["name"]


def test_a_call_without_a_valid_token_is_refused(sdk: Sdk, server: RunningServer) -> None:
    for headers in ({}, {"Authorization": "Bearer nobody"}, {"Authorization": f"Basic {server.token}"}):
        assert httpx.get(f"{server.api_url}/sources", headers=headers).status_code == 401
    assert sdk.call("listSources", pagination={"count": 1})["sources"] is not None


@proves("getSourcesCatalog", "getSourceMetadata", "getDestinationsCatalog", "getDestinationMetadata", level=2)
@proves("getWarehousesCatalog", "getWarehouseMetadata", level=2)
def test_the_catalogue_lists_what_can_be_created_and_shows_each_entry(sdk: Sdk) -> None:
    sources = sdk.pages("getSourcesCatalog", "sourcesCatalog", count=3)
    assert all(len(page) == 3 for page in sources[:-1])
    ids = [each["id"] for page in sources for each in page]
    assert len(ids) == len(set(ids))
    assert {JAVASCRIPT_SOURCE, HTTP_API_SOURCE} <= set(ids)
    one = sdk.call("getSourceMetadata", JAVASCRIPT_SOURCE)["sourceMetadata"]
    assert one == next(each for page in sources for each in page if each["id"] == JAVASCRIPT_SOURCE)

    destinations = sdk.call("getDestinationsCatalog", pagination={"count": 200})["destinationsCatalog"]
    webhooks = next(each for each in destinations if each["slug"] == "webhooks")
    assert {"hooks", "sharedSecret"} <= {option["name"] for option in webhooks["options"]}
    assert sdk.call("getDestinationMetadata", webhooks["id"])["destinationMetadata"] == webhooks

    sdk.call("getWarehousesCatalog", pagination={"count": 200})
    assert sdk.refusal("getWarehouseMetadata", "nowhere")["status"] == 404


@proves("createSource", "getSource", "updateSource", "deleteSource", level=2)
def test_a_source_is_created_read_changed_and_deleted(sdk: Sdk) -> None:
    body = {
        "slug": unique("life"),
        "enabled": True,
        "metadataId": JAVASCRIPT_SOURCE,
        "settings": {"websiteUrl": "https://shop.example"},
    }
    created = sdk.call("createSource", body=body)["source"]
    assert created["slug"] == body["slug"]
    assert created["enabled"] is True
    assert created["metadata"]["id"] == JAVASCRIPT_SOURCE
    assert created["settings"]["websiteUrl"] == "https://shop.example"
    assert created["labels"] == []
    assert len(created["writeKeys"]) == 1

    read = sdk.call("getSource", created["id"])
    assert read["source"] == created
    assert read.get("trackingPlanId") is None

    changed = sdk.call("updateSource", created["id"], body={"name": "The shop", "enabled": False})["source"]
    assert changed == {**created, "name": "The shop", "enabled": False}
    assert sdk.call("getSource", created["id"])["source"] == changed

    assert sdk.call("deleteSource", created["id"])["status"] == "SUCCESS"
    assert sdk.refusal("getSource", created["id"])["status"] == 404


def test_settings_of_a_source_are_merged_and_null_removes_one(sdk: Sdk) -> None:
    source = make_source(sdk, metadata_id=JAVASCRIPT_SOURCE)
    sdk.call("updateSource", source["id"], body={"settings": {"websiteUrl": "https://a.example"}})
    sdk.call("updateSource", source["id"], body={"settings": {"apiHost": "t.a.example/v1"}})
    both = sdk.call("getSource", source["id"])["source"]["settings"]
    assert both["websiteUrl"] == "https://a.example"
    assert both["apiHost"] == "t.a.example/v1"
    after = sdk.call("updateSource", source["id"], body={"settings": {"apiHost": None}})["source"]["settings"]
    assert "apiHost" not in after
    assert after["websiteUrl"] == "https://a.example"


@proves("listSources", level=2)
def test_sources_are_listed_page_by_page_to_the_last(sdk: Sdk) -> None:
    made = [make_source(sdk, f"page{number}")["id"] for number in range(5)]
    pages = sdk.pages("listSources", "sources", count=2)
    assert all(len(page) == 2 for page in pages[:-1])
    assert 1 <= len(pages[-1]) <= 2
    listed = [each["id"] for page in pages for each in page]
    assert len(listed) == len(set(listed))
    assert [each for each in listed if each in made] == made, "in the order of creation"
    whole = sdk.call("listSources", pagination={"count": 1000, "cursor": "MA=="})["sources"]
    assert [each["id"] for each in whole] == listed


@proves("createWriteKeyForSource", "removeWriteKeyFromSource", level=2)
@proves("createWriteKeyForSource", "removeWriteKeyFromSource", level=4)
def test_write_keys_are_added_and_removed(sdk: Sdk, server: RunningServer, sink: Sink) -> None:
    source = make_source(sdk)
    make_webhook(sdk, source, f"{sink.url}/keys", "keys")
    (first,) = source["writeKeys"]
    both = sdk.call("createWriteKeyForSource", source["id"])["source"]["writeKeys"]
    assert both[0] == first
    assert len(set(both)) == 2
    send(server, {**source, "writeKeys": [both[1]]}, track("By the second key"))
    assert sink.wait_for(1)[0].event["event"] == "By the second key"

    assert sdk.call("removeWriteKeyFromSource", source["id"], first)["status"] == "SUCCESS"
    assert sdk.call("getSource", source["id"])["source"]["writeKeys"] == [both[1]]
    assert sdk.refusal("removeWriteKeyFromSource", source["id"], first)["status"] == 404


@proves("createLabel", "listLabels", "deleteLabel", "addLabelsToSource", "replaceLabelsInSource", level=2)
def test_labels_are_created_assigned_replaced_and_deleted(sdk: Sdk) -> None:
    source, key = make_source(sdk), unique("team")
    label = {"key": key, "value": "checkout", "description": "Who owns it"}
    assert sdk.call("createLabel", body={"label": label})["label"] == label
    assert label in sdk.call("listLabels")["labels"]

    pair = {"key": key, "value": "checkout"}
    sdk.call("addLabelsToSource", source["id"], body={"labels": [{"key": "environment", "value": "dev"}]})
    added = sdk.call("addLabelsToSource", source["id"], body={"labels": [pair]})["labels"]
    assert {(each["key"], each["value"]) for each in added} == {("environment", "dev"), (key, "checkout")}
    replaced = sdk.call("replaceLabelsInSource", source["id"], body={"labels": [pair]})["labels"]
    assert [(each["key"], each["value"]) for each in replaced] == [(key, "checkout")]
    (shown,) = sdk.call("getSource", source["id"])["source"]["labels"]
    assert shown["key"] == key

    assert sdk.refusal("deleteLabel", key, "checkout")["status"] == 409, "still in use"
    sdk.call("replaceLabelsInSource", source["id"], body={"labels": []})
    assert sdk.call("deleteLabel", key, "checkout")["status"] == "SUCCESS"
    assert sdk.refusal("deleteLabel", key, "checkout")["status"] == 404


@proves("listSchemaSettingsInSource", "updateSchemaSettingsInSource", level=2)
def test_the_schema_settings_keep_what_was_sent(sdk: Sdk) -> None:
    source = make_source(sdk)
    before = sdk.call("listSchemaSettingsInSource", source["id"])
    assert before["sourceId"] == source["id"]
    assert before["settings"]["track"]["allowUnplannedEvents"] is True
    sent = {"track": {"allowUnplannedEvents": False}, "identify": {"allowUnplannedTraits": False}}
    settings = sdk.call("updateSchemaSettingsInSource", source["id"], body=sent)["settings"]
    assert settings["track"]["allowUnplannedEvents"] is False
    assert settings["track"]["allowUnplannedEventProperties"] is True
    assert settings["identify"]["allowUnplannedTraits"] is False
    assert sdk.call("listSchemaSettingsInSource", source["id"])["settings"] == settings


@proves("createDestination", "getDestination", "listDestinations", "updateDestination", "deleteDestination", level=2)
@proves("listConnectedDestinationsFromSource", "listConnectedWarehousesFromSource", level=2)
def test_a_webhook_is_created_listed_changed_and_deleted(sdk: Sdk, sink: Sink) -> None:
    source = make_source(sdk)
    made = make_webhook(sdk, source, f"{sink.url}/a", "to a")
    assert made["sourceId"] == source["id"]
    assert made["id"] != made["metadata"]["id"]
    assert SHARED_SECRET not in str(made)
    assert sdk.call("getDestination", made["id"])["destination"] == made
    assert made in [each for page in sdk.pages("listDestinations", "destinations", count=2) for each in page]
    (connected,) = sdk.call("listConnectedDestinationsFromSource", source["id"], pagination={"count": 5})[
        "destinations"
    ]
    assert connected == made
    sdk.call("listConnectedWarehousesFromSource", source["id"], pagination={"count": 5})

    changed = sdk.call("updateDestination", made["id"], body={"name": "to b", "enabled": False})["destination"]
    assert changed == {**made, "name": "to b", "enabled": False}
    assert sdk.call("deleteDestination", made["id"])["status"] == "SUCCESS"
    assert sdk.refusal("getDestination", made["id"])["status"] == 404


@proves("createFilterForDestination", "getFilterInDestination", "listFiltersFromDestination", level=2)
@proves("updateFilterForDestination", "removeFilterFromDestination", level=2)
def test_a_filter_is_created_listed_changed_and_removed(sdk: Sdk, sink: Sink) -> None:
    source = make_source(sdk)
    webhook = make_webhook(sdk, source, f"{sink.url}/filtered", "filtered")
    body = {
        "sourceId": source["id"],
        "if": 'type = "track" and event = "Secret"',
        "actions": [{"type": "DROP"}],
        "title": "No secrets",
        "description": " ",
        "enabled": True,
    }
    made = sdk.call("createFilterForDestination", webhook["id"], body=body)["filter"]
    assert made["if"] == body["if"]
    assert made["destinationId"] == webhook["id"]
    assert made["description"] == " "
    assert {name: value for name, value in made["actions"][0].items() if value is not None} == {"type": "DROP"}
    assert sdk.call("getFilterInDestination", webhook["id"], made["id"])["filter"] == made
    assert sdk.call("listFiltersFromDestination", webhook["id"], pagination={"count": 5})["filters"] == [made]

    change = {"title": "Fewer", "actions": [{"type": "DROP_PROPERTIES", "fields": {"properties": ["card"]}}]}
    changed = sdk.call("updateFilterForDestination", webhook["id"], made["id"], body=change)["filter"]
    assert changed["title"] == "Fewer"
    assert changed["actions"][0]["fields"] == {"properties": ["card"]}
    assert changed["if"] == made["if"]
    assert changed["createdAt"] == made["createdAt"]

    assert sdk.call("removeFilterFromDestination", webhook["id"], made["id"])["status"] == "SUCCESS"
    assert sdk.call("listFiltersFromDestination", webhook["id"], pagination={"count": 5})["filters"] == []


@proves("previewDestinationFilter", level=2)
def test_a_filter_is_tried_on_a_payload_before_it_exists(sdk: Sdk) -> None:
    payload = track("Paid", properties={"card": "4111", "total": 5})
    drop = {"if": 'event = "Paid"', "actions": [{"type": "DROP"}]}
    dropped = sdk.call("previewDestinationFilter", body={"filter": drop, "payload": payload})
    assert dropped["inputPayload"] == payload
    assert dropped.get("result") is None
    keep = {"if": 'event = "Paid"', "actions": [{"type": "DROP_PROPERTIES", "fields": {"properties": ["card"]}}]}
    kept = sdk.call("previewDestinationFilter", body={"filter": keep, "payload": payload})["result"]
    assert kept["properties"] == {"total": 5}


@proves("getFilteredAtDestinationMetricsFromDeliveryOverview", level=2)
@proves("createFilterForDestination", "getFilteredAtDestinationMetricsFromDeliveryOverview", level=4)
def test_a_filter_decides_what_the_webhook_receives(sdk: Sdk, server: RunningServer, sink: Sink) -> None:
    source = make_source(sdk)
    webhook = make_webhook(sdk, source, f"{sink.url}/decided", "decided")
    rules = [
        ('event = "Secret"', [{"type": "DROP"}]),
        ("all", [{"type": "DROP_PROPERTIES", "fields": {"properties": ["card"]}}]),
    ]
    for title, (condition, actions) in enumerate(rules):
        body = {"sourceId": source["id"], "if": condition, "actions": actions, "enabled": True}
        sdk.call("createFilterForDestination", webhook["id"], body={**body, "title": f"rule {title}"})
    send(server, source, track("Secret"), track("Paid", properties={"card": "4111", "total": 5}))

    (arrival,) = sink.wait_for(1)
    assert arrival.event["event"] == "Paid"
    assert arrival.event["properties"] == {"total": 5}
    assert arrival.headers["x-shop"] == "one"
    assert arrival.is_signed_with(SHARED_SECRET)
    asked = {**window(), "sourceId": source["id"], "destinationConfigId": webhook["id"]}
    counted = eventually(
        lambda: sdk.call(
            "getFilteredAtDestinationMetricsFromDeliveryOverview",
            **asked,
            groupBy=["discardReason", "eventName"],
            pagination={"count": 20},
        ),
        lambda each: each["total"] == 1,
    )
    (row,) = counted["dataset"]
    assert (row["discardReason"], row["eventName"], row["total"]) == ("FILTERED_BY_RULES", "Secret", 1)


def test_errors_name_the_offending_fields_all_at_once(sdk: Sdk) -> None:
    missing = sdk.refusal("getSource", "404")
    assert missing["status"] == 404
    assert missing["decoded"]
    assert missing["errors"][0]["type"] == "not-found"
    assert missing["errors"][0]["message"] == "Source with id '404' not found."

    invalid = sdk.refusal("listSources", pagination={"count": 0})
    assert invalid["status"] == 422
    assert invalid["decoded"]
    assert [each["field"] for each in invalid["errors"]] == ["pagination.count"]
    assert {each["type"] for each in invalid["errors"]} == {"input-validation"}

    source = make_source(sdk)
    wrong = {"slug": source["slug"], "enabled": True, "metadataId": "nothing"}
    assert sdk.refusal("createSource", body=wrong)["status"] == 422
    taken = sdk.refusal("createSource", body={**wrong, "metadataId": HTTP_API_SOURCE})
    assert taken["status"] == 409
    assert source["slug"] in taken["errors"][0]["message"]


def test_a_slug_is_never_an_id(sdk: Sdk) -> None:
    source = make_source(sdk)
    assert sdk.refusal("getSource", source["slug"])["status"] == 404


@proves("getEgressSuccessMetricsFromDeliveryOverview", "getEgressFailedMetricsFromDeliveryOverview", level=2)
@proves("getIngressSuccessMetricsFromDeliveryOverview", "getIngressFailedMetricsFromDeliveryOverview", level=2)
@proves("getFilteredAtSourceMetricsFromDeliveryOverview", level=2)
@proves("getEgressSuccessMetricsFromDeliveryOverview", "getIngressSuccessMetricsFromDeliveryOverview", level=4)
@proves("getIngressFailedMetricsFromDeliveryOverview", "createSource", "createDestination", level=4)
def test_every_event_is_counted_and_the_counts_group_and_filter(sdk: Sdk, server: RunningServer, sink: Sink) -> None:
    source = make_source(sdk)
    webhook = make_webhook(sdk, source, f"{sink.url}/counted", "counted")
    mobile = {"context": {"app": {"version": "1.2"}}}
    send(
        server,
        source,
        track("Paid", **mobile),
        track("Paid"),
        track("Seen, twice & more"),
        {"type": "identify", "userId": "u1"},
        {"type": "track", "userId": "u1"},
    )
    assert len(sink.wait_for(4)) == 4
    of_source = {**window(), "sourceId": source["id"], "pagination": {"count": 20}}
    of_webhook = {**of_source, "destinationConfigId": webhook["id"]}
    delivered = eventually(
        lambda: sdk.call("getEgressSuccessMetricsFromDeliveryOverview", **of_webhook, groupBy=["eventName"]),
        lambda each: each["total"] == 4,
    )
    totals = {row.get("eventName"): row["total"] for row in delivered["dataset"]}
    assert totals["Paid"] == 2
    assert totals["Seen, twice & more"] == 1
    for row in delivered["dataset"]:
        assert sum(each["count"] for each in row["series"]) == row["total"]

    grouped = sdk.call(
        "getEgressSuccessMetricsFromDeliveryOverview",
        **of_webhook,
        groupBy=["eventType", "discardReason"],
        filter={"eventName": ["Paid", "Seen, twice & more"], "eventType": ["track"]},
    )
    assert grouped["total"] == 3
    (row,) = grouped["dataset"]
    assert (row["eventType"], row["discardReason"]) == ("track", "successes.attempt.1")

    received = sdk.call("getIngressSuccessMetricsFromDeliveryOverview", **of_source, groupBy=["appVersion"])
    assert received["total"] == 4
    assert {row.get("appVersion"): row["total"] for row in received["dataset"]}["1.2"] == 1
    failed = sdk.call("getIngressFailedMetricsFromDeliveryOverview", **of_source, groupBy=["discardReason"])
    assert {row["discardReason"]: row["total"] for row in failed["dataset"]}["event_not_defined"] == 1
    assert sdk.call("getFilteredAtSourceMetricsFromDeliveryOverview", **of_source)["total"] == 0
    assert sdk.call("getEgressFailedMetricsFromDeliveryOverview", **of_webhook)["total"] == 0


@proves("getEgressFailedMetricsFromDeliveryOverview", level=4)
@pytest.mark.parametrize("granularity", ["minute", "MINUTE", "hour", "day"])
def test_the_granularity_is_read_in_either_case(sdk: Sdk, granularity: str) -> None:
    """The types of the TypeScript SDK on npm know lower case alone, those of the reference upper case."""
    source = make_source(sdk)
    asked = {**window(), "granularity": granularity, "sourceId": source["id"], "pagination": {"count": 5}}
    assert sdk.call("getIngressSuccessMetricsFromDeliveryOverview", **asked)["total"] == 0


def test_a_delivery_that_is_refused_for_good_is_counted_with_its_status(
    sdk: Sdk, server: RunningServer, sink: Sink
) -> None:
    source = make_source(sdk)
    webhook = make_webhook(sdk, source, f"{sink.url}/refused", "refused")
    sink.answer_next([404])
    send(server, source, track("Refused"))
    failed = eventually(
        lambda: sdk.call(
            "getEgressFailedMetricsFromDeliveryOverview",
            **window(),
            sourceId=source["id"],
            destinationConfigId=webhook["id"],
            groupBy=["discardReason"],
            pagination={"count": 20},
        ),
        lambda each: each["total"] == 1,
    )
    assert failed["dataset"][0]["discardReason"] == "404"
    assert len(sink.arrivals()) == 1


@proves("listDeliveryMetricsSummaryFromDestination", level=2)
@proves("listDeliveryMetricsSummaryFromDestination", level=4)
def test_delivery_metrics_name_the_catalogue_entry_that_two_webhooks_share(
    sdk: Sdk, server: RunningServer, sink: Sink
) -> None:
    source = make_source(sdk)
    webhooks = [make_webhook(sdk, source, f"{sink.url}/{name}", name) for name in ("dev", "prod")]
    send(server, source, track("Seen"))
    sink.wait_for(2)
    for webhook in webhooks:
        summary = eventually(
            lambda each=webhook: sdk.call(  # type: ignore[misc]
                "listDeliveryMetricsSummaryFromDestination", each["id"], sourceId=source["id"]
            )["deliveryMetricsSummary"],
            lambda each: sum(metric["total"] for metric in each["metrics"]) == 1,
        )
        assert summary["destinationMetadataId"] == webhook["metadata"]["id"]
        assert summary["sourceId"] == source["id"]
    assert webhooks[0]["id"] != webhooks[1]["id"]


@proves("getEventsVolumeFromWorkspace", level=2)
@proves("getEventsVolumeFromWorkspace", level=4)
def test_the_events_volume_counts_by_source_and_event(sdk: Sdk, server: RunningServer) -> None:
    source = make_source(sdk)
    send(server, source, track("Volume A"), track("Volume A"), track("Volume B"), {"type": "page", "userId": "u1"})
    volume = eventually(
        lambda: sdk.call(
            "getEventsVolumeFromWorkspace",
            **{**window(), "granularity": "HOUR"},
            groupBy=["source", "eventName"],
            sourceId=[source["id"]],
            eventType=["track"],
            pagination={"count": 100},
        ),
        lambda each: sum(row["total"] for row in each["result"]) == 3,
    )
    assert [(row["eventName"], row["total"]) for row in volume["result"]] == [("Volume A", 2), ("Volume B", 1)]
    assert {row["source"]["id"] for row in volume["result"]} == {source["id"]}
    assert volume["query"]["granularity"] == "HOUR"
    assert volume["query"]["workspaceId"] == sdk.call("getWorkspace")["workspace"]["id"]


@proves("getDailyPerSourceAPICallsUsage", "getDailyWorkspaceAPICallsUsage", level=2)
@proves("getDailyPerSourceMTUUsage", "getDailyWorkspaceMTUUsage", level=2)
@proves("getDailyPerSourceAPICallsUsage", "getDailyWorkspaceAPICallsUsage", level=4)
@proves("getDailyPerSourceMTUUsage", "getDailyWorkspaceMTUUsage", level=4)
def test_usage_counts_api_calls_and_users_of_the_month(sdk: Sdk, server: RunningServer) -> None:
    source, user = make_source(sdk), unique("user")
    events = [track("A", user), track("B", user), {"type": "track", "event": "C", "anonymousId": unique("anon")}]
    send(server, source, *events)
    month = {"period": datetime.now(UTC).strftime("%Y-%m-01"), "pagination": {"count": 1000}}

    def last(operation: str, key: str) -> dict[str, Any]:
        rows = [row for page in sdk.pages(operation, key, count=1000, period=month["period"]) for row in page]
        return next((row for row in reversed(rows) if row["sourceId"] == source["id"]), {})

    calls = eventually(
        lambda: last("getDailyPerSourceAPICallsUsage", "dailyPerSourceAPICallsUsage"),
        lambda row: row.get("apiCalls") == "3",
    )
    assert calls["timestamp"]
    users = eventually(
        lambda: last("getDailyPerSourceMTUUsage", "dailyPerSourceMTUUsage"),
        lambda row: row.get("identified") == "1",
    )
    assert users["neverIdentified"] == "1"
    assert users["periodStart"] < users["periodEnd"]
    whole = sdk.call("getDailyWorkspaceAPICallsUsage", **month)["dailyWorkspaceAPICallsUsage"]
    assert int(whole[-1]["apiCalls"]) >= 3
    everybody = sdk.call("getDailyWorkspaceMTUUsage", **month)["dailyWorkspaceMTUUsage"]
    assert int(everybody[-1]["identified"]) >= 1


@proves("listAuditEvents", level=2)
@proves("listAuditEvents", level=4)
def test_the_audit_trail_tells_what_was_done_newest_first(sdk: Sdk) -> None:
    source = make_source(sdk)
    sdk.call("updateSource", source["id"], body={"name": "Audited"})
    sdk.call("deleteSource", source["id"])
    events = sdk.call("listAuditEvents", resourceId=source["id"], pagination={"count": 50})["events"]
    types = [each["type"] for each in events]
    assert types[0] == "Source Deleted"
    assert types[-1] == "Source Created"
    assert "Source Modified" in types
    assert {each["resourceId"] for each in events} == {source["id"]}
    assert len({each["actor"] for each in events}) == 1
    times = [each["timestamp"] for each in events]
    assert times == sorted(times, reverse=True)
    every = sdk.pages("listAuditEvents", "events", count=50)
    assert len({each["id"] for page in every for each in page}) == sum(map(len, every))


@proves("echo", level=2)
def test_the_echo_returns_the_message_and_not_the_token(sdk: Sdk, server: RunningServer) -> None:
    echo = sdk.call("echo", message="hello & goodbye")
    assert echo["message"] == "hello & goodbye"
    assert echo["method"] == "get"
    assert server.token not in str(echo)
    refused = sdk.refusal("echo", message="no", triggerError=True)
    assert 400 <= refused["status"] < 500
    assert refused["errors"][0]["message"] == "no"


@proves("deleteSource", level=4)
def test_deleting_a_source_takes_its_destinations_along(sdk: Sdk, sink: Sink) -> None:
    source = make_source(sdk)
    webhook = make_webhook(sdk, source, f"{sink.url}/gone", "gone")
    sdk.call("deleteSource", source["id"])
    assert sdk.refusal("getDestination", webhook["id"])["status"] == 404
