"""Functions at work: configured with Segment's own SDKs, called by webhooks and by events."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.furnished import flags
from contract.proves import proves
from journeys.clients import GO_PROGRAM, installed, node_program
from journeys.public_api import Connection, PublicApi, eventually
from journeys.running import RunningServer
from journeys.sink import Sink
from journeys.test_public_api_sdks import Sdk
from mainstem.__main__ import main

COMMANDS = {"typescript": lambda: node_program("public_api.js"), "go": lambda: [str(installed(GO_PROGRAM))]}
ONE = "async function onTrack(event, settings) { return event }"
TWO = "async function onTrack(event, settings) { event.event = settings.name; return event }"
SECRET = "planted-journey-secret-58d2"
SETTING = {
    "name": "name", "label": "Name", "description": "d", "type": "STRING", "required": True, "sensitive": True,
}  # fmt: skip
BULLETS = "\u2022" * 10


@pytest.fixture(params=COMMANDS)
def sdk(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Sdk]:
    each = Sdk(COMMANDS[request.param](), server)
    try:
        yield each
    finally:
        each.close()


def new_function(public_api: PublicApi, kind: str, code: str, *settings: dict[str, Any]) -> dict[str, Any]:
    body = {"code": code, "displayName": "Journey", "resourceType": kind, "settings": list(settings)}
    function: dict[str, Any] = public_api.post("/functions", body)["function"]
    return function


def new_source(public_api: PublicApi, metadata_id: str, **more: Any) -> dict[str, Any]:
    body = {"slug": f"functions-{secrets.token_hex(5)}", "enabled": True, "metadataId": metadata_id}
    source: dict[str, Any] = public_api.post("/sources", body | more)["source"]
    return source


def track(server: RunningServer, write_key: str, event: str) -> None:
    body = {"userId": "u1", "event": event, "writeKey": write_key}
    assert httpx.post(f"{server.tracking_url}/v1/track", json=body).status_code == 200


@pytest.mark.clients
@proves(
    "createFunction", "getFunction", "listFunctions", "updateFunction", "deleteFunction", "createFunctionDeployment",
    "listFunctionVersions", "getFunctionVersion", "restoreFunctionVersion", level=2,
)  # fmt: skip
def test_a_function_is_created_changed_deployed_restored_and_deleted(sdk: Sdk) -> None:
    body: dict[str, Any] = {"code": ONE, "displayName": "Journey", "resourceType": "SOURCE", "settings": [SETTING]}
    function = sdk.call("createFunction", body=body)["function"]
    try:
        assert {name: function[name] for name in body} == body
        changed = sdk.call("updateFunction", function["id"], body={"code": TWO, "description": "d"})["function"]
        assert (changed["code"], changed["description"], changed["isLatestVersion"]) == (TWO, "d", False)
        deployment = sdk.call("createFunctionDeployment", function["id"])["functionDeployment"]
        assert deployment["status"] == "SUCCESS"
        assert sdk.call("getFunction", function["id"])["function"]["deployedAt"]
        listed = sdk.call("listFunctions", resourceType="SOURCE", pagination={"count": 100})["functions"]
        assert function["id"] in [each["id"] for each in listed]
        newest, oldest = sdk.call("listFunctionVersions", function["id"], pagination={"count": 10})["versions"]
        assert (newest["code"], newest["isDeployed"], oldest["code"]) == (TWO, True, ONE)
        assert sdk.call("getFunctionVersion", function["id"], oldest["id"])["version"] == oldest
        restored = sdk.call("restoreFunctionVersion", function["id"], body={"versionId": oldest["id"]})["version"]
        assert (restored["code"], restored["isDeployed"]) == (ONE, False)
        refused = sdk.refusal("updateFunction", function["id"], body={"code": "function {"})
        assert (refused["status"], refused["errors"][0]["field"]) == (422, "code")
    finally:
        assert sdk.call("deleteFunction", function["id"]) == {"status": "SUCCESS"}
    assert sdk.refusal("getFunction", function["id"])["status"] == 404


@pytest.mark.clients
@proves(
    "createInsertFunctionInstance", "getInsertFunctionInstance", "listInsertFunctionInstances",
    "updateInsertFunctionInstance", "deleteInsertFunctionInstance", level=2,
)  # fmt: skip
def test_an_insert_function_is_inserted_changed_and_removed(sdk: Sdk, public_api: PublicApi, sink: Sink) -> None:
    connection = public_api.connect(sink.url)
    body: dict[str, Any] = {
        "code": TWO, "displayName": "Journey", "resourceType": "INSERT_DESTINATION", "settings": [SETTING],
    }  # fmt: skip
    function = sdk.call("createFunction", body=body)["function"]
    bare = function["id"].removeprefix("ifnd_")
    body = {
        "functionId": bare, "integrationId": connection.destination_id, "name": "i", "settings": {"name": SECRET},
        "enabled": False,
    }  # fmt: skip
    instance = sdk.call("createInsertFunctionInstance", body=body)["insertFunctionInstance"]
    try:
        assert (instance["classId"], instance["settings"], instance["enabled"]) == (bare, {"name": BULLETS}, False)
        listed = sdk.call("listInsertFunctionInstances", functionId=bare, pagination={"count": 10})["instances"]
        assert listed == [instance]
        change = {"enabled": True, "settings": {}}
        changed = sdk.call("updateInsertFunctionInstance", instance["id"], body=change)["insertFunctionInstance"]
        assert changed["enabled"] is True
        assert sdk.call("getInsertFunctionInstance", instance["id"])["insertFunctionInstance"] == changed
        assert sdk.refusal("deleteFunction", function["id"])["status"] == 409
    finally:
        assert sdk.call("deleteInsertFunctionInstance", instance["id"]) == {"status": "SUCCESS"}
        assert sdk.call("deleteFunction", function["id"]) == {"status": "SUCCESS"}


def test_a_call_of_a_source_function_becomes_events_at_its_destinations(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    code = """async function onRequest(request, settings) {
        const body = request.json();
        Segment.track({ event: body.Kind, userId: body.From, properties: { secret: settings.name.length } });
    }"""
    function = new_function(public_api, "SOURCE", code, SETTING)
    source = new_source(public_api, function["catalogId"], settings={"name": SECRET})
    public_api.add_webhook(source["id"], sink.url)
    url = public_api.get(f"/functions/{function['id']}")["function"]["previewWebhookUrl"]
    assert url == f"{server.tracking_url}/functions/v1/{source['writeKeys'][0]}"
    assert httpx.post(url, data={"Kind": "Message", "From": "+1"}).status_code == 200
    assert httpx.post(url, json={"Kind": "Call", "From": "+2"}).status_code == 200
    got = [json.loads(request.body) for request in sink.wait_for(2)]
    assert {(each["event"], each["userId"]) for each in got} == {("Message", "+1"), ("Call", "+2")}
    assert {each["properties"]["secret"] for each in got} == {len(SECRET)}


def test_an_insert_function_rewrites_what_its_destination_gets(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(sink.url)
    function = new_function(public_api, "INSERT_DESTINATION", TWO, SETTING)
    body = {"functionId": function["id"], "integrationId": connection.destination_id, "enabled": True}
    public_api.post("/insert-function-instances", body | {"name": "i", "settings": {"name": "Renamed"}})
    eventually_renamed(server, connection, sink)


def eventually_renamed(server: RunningServer, connection: Connection, sink: Sink) -> None:
    """Events go through the insert function within a second of its configuration."""

    def ask() -> str:
        track(server, connection.write_key, "Bought")
        return str(json.loads(sink.wait_for(1)[-1].body)["event"])

    eventually(ask, lambda event: event == "Renamed")


def test_what_a_destination_function_says_is_in_its_log_and_no_secret_is_on_the_disk(
    server: RunningServer, public_api: PublicApi, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "async function onTrack(event, settings) { console.log('seen', event.event); throw new Error('no') }"
    function = new_function(public_api, "DESTINATION", code, SETTING)
    source = new_source(public_api, "iUM16Md8P2")
    body = {"sourceId": source["id"], "metadataId": function["catalogId"], "settings": {"name": SECRET}}
    destination = public_api.post("/destinations", body)["destination"]
    track(server, source["writeKeys"][0], "Bought")

    def logged() -> str:
        assert main(["function", "logs", function["id"], *flags(server.data)]) == 0
        return capsys.readouterr().out

    shown = eventually(logged, lambda text: "seen Bought" in text)
    assert "Error: no" in shown
    assert destination["id"] in shown
    connection = Connection(source["id"], source["writeKeys"][0], destination["id"])
    counted = public_api.wait_for_count("filtered-at-destination", connection, 1, groupBy="discardReason")
    assert counted["dataset"][0]["discardReason"] == "bad_request"
    assert not [file.name for file in files(server.data) if SECRET.encode() in file.read_bytes()]
    assert SECRET not in server.log_tail(10_000)


def files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file() and not each.is_fifo()]
