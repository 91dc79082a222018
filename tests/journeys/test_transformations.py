"""Transformations configured with Segment's own SDKs, and what they do to the events of their source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from contract.proves import proves
from journeys.clients import GO_PROGRAM, installed, node_program
from journeys.public_api import PublicApi
from journeys.running import RunningServer
from journeys.sink import Sink
from journeys.test_public_api_sdks import Sdk, make_source, make_webhook, send, track

pytestmark = pytest.mark.clients

COMMANDS = {"typescript": lambda: node_program("public_api.js"), "go": lambda: [str(installed(GO_PROGRAM))]}


@pytest.fixture(scope="module", params=COMMANDS)
def sdk(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Sdk]:
    each = Sdk(COMMANDS[request.param](), server)
    try:
        yield each
    finally:
        each.close()


def as_sent(made: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What came back of the keys that were sent."""
    return {key: made.get(key) for key in body}


@proves("createTransformation", "getTransformation", "listTransformations", level=2)
@proves("updateTransformation", "deleteTransformation", level=2)
def test_a_transformation_is_created_listed_changed_and_deleted(sdk: Sdk) -> None:
    source = make_source(sdk)
    body = {
        "name": "Fix",
        "sourceId": source["id"],
        "enabled": True,
        "if": "event = 'order_completed'",
        "newEventName": "Order Completed",
        "propertyRenames": [{"oldName": "revenue", "newName": "order.total"}],
        "propertyValueTransformations": [{"propertyPaths": ["properties.currency"], "propertyValue": "USD"}],
        "fqlDefinedProperties": [],
    }
    made = sdk.call("createTransformation", body=body)["transformation"]
    assert as_sent(made, body) == body
    assert sdk.call("getTransformation", made["id"])["transformation"] == made
    pages = sdk.pages("listTransformations", "transformations", count=200)
    assert [each for page in pages for each in page if each["sourceId"] == source["id"]] == [made]

    change = {"enabled": False, "propertyRenames": []}
    changed = sdk.call("updateTransformation", made["id"], body=change)["transformation"]
    assert as_sent(changed, body) == body | change
    assert sdk.call("deleteTransformation", made["id"])["status"] == "SUCCESS"
    assert sdk.refusal("getTransformation", made["id"])["status"] == 404


@proves("createTransformation", "updateTransformation", "deleteTransformation", level=4)
def test_transformations_decide_what_the_webhook_receives(
    sdk: Sdk, server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    source = make_source(sdk)
    webhook = make_webhook(sdk, source, f"{sink.url}/transformed", "transformed")
    rename = {
        "name": "Rename",
        "sourceId": source["id"],
        "enabled": True,
        "if": "event = 'paid'",
        "newEventName": "Order Paid",
        "propertyRenames": [{"oldName": "total", "newName": "order.total"}],
    }
    hidden = {
        "name": "Hide",
        "sourceId": source["id"],
        "enabled": True,
        "if": "event = 'Order Paid'",
        "destinationMetadataId": webhook["metadata"]["id"],
        "hashPropertiesConfiguration": {"algorithm": "SHA256", "paths": ["email"]},
    }
    drop = {"name": "Drop", "sourceId": source["id"], "enabled": True, "if": "event = 'Secret'", "drop": True}
    renamed = sdk.call("createTransformation", body=rename)["transformation"]["id"]
    # The TypeScript SDK on npm (47.0.0) does not know `drop` and `hashPropertiesConfiguration`.
    dropped = [public_api.post("/transformations", each)["transformation"]["id"] for each in (hidden, drop)][1]
    send(server, source, track("Secret"), track("paid", properties={"total": 5, "email": "a@b.example"}))
    (first,) = sink.wait_for(1)
    assert first.event["event"] == "Order Paid"
    hashed = hashlib.sha256(b"a@b.example").hexdigest()
    assert first.event["properties"] == {"order": {"total": 5}, "email": hashed}

    sdk.call("updateTransformation", renamed, body={"newEventName": "Renamed anew"})
    sdk.call("deleteTransformation", dropped)
    send(server, source, track("Secret"), track("paid", user="u1"))
    assert [each.event["event"] for each in sink.wait_for(3)[1:]] == ["Secret", "Renamed anew"]
