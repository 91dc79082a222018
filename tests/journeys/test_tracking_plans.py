"""Tracking plans configured with Segment's own SDKs, each with its own encoding of the rules to remove."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from contract.proves import proves
from journeys.clients import GO_PROGRAM, installed, node_program
from journeys.running import RunningServer
from journeys.sink import Sink
from journeys.test_public_api_sdks import Sdk, make_source, make_webhook, send, track, unique

pytestmark = pytest.mark.clients

COMMANDS = {"typescript": lambda: node_program("public_api.js"), "go": lambda: [str(installed(GO_PROGRAM))]}
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "labels": {"team": "checkout"},
    "properties": {
        "properties": {
            "type": "object",
            "properties": {"total": {"type": ["number"], "id": "/properties/properties/properties/total"}},
            "required": ["total"],
        }
    },
    "required": ["properties"],
}
STRANGE = ["Order Completed", "A b, \"c\" 'd' & é 日=[x] {y} +%", "[1]", '{"a": 1}', "x.y[z]", " "]


@pytest.fixture(scope="module", params=COMMANDS)
def sdk(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Sdk]:
    each = Sdk(COMMANDS[request.param](), server)
    try:
        yield each
    finally:
        each.close()


@pytest.fixture
def plan(sdk: Sdk) -> dict[str, Any]:
    made: dict[str, Any] = sdk.call("createTrackingPlan", body={"name": unique("Plan"), "type": "LIVE"})[
        "trackingPlan"
    ]
    return made


def rule(key: str = "", version: float = 1, type: str = "TRACK", **more: Any) -> dict[str, Any]:
    """A rule as it is sent, its schema included; "" is no key."""
    return {**name(key, version, type), "jsonSchema": SCHEMA, **more}


def name(key: str = "", version: float = 1, type: str = "TRACK") -> dict[str, Any]:
    """What names a rule."""
    return {"type": type, "version": version, **({"key": key} if key else {})}


def rules_of(sdk: Sdk, plan: dict[str, Any], count: int = 200) -> list[dict[str, Any]]:
    """The rules that are listed, as they were sent."""
    pages = sdk.pages("listRulesFromTrackingPlan", "rules", plan["id"], count=count)
    listed = [each for page in pages for each in page]
    assert all(each["createdAt"] and each["updatedAt"] for each in listed)
    return [{key: each[key] for key in ("type", "key", "version", "jsonSchema") if each.get(key)} for each in listed]


@proves("createTrackingPlan", "getTrackingPlan", "listTrackingPlans", "updateTrackingPlan", level=2)
@proves("deleteTrackingPlan", level=2)
def test_a_plan_is_created_listed_changed_and_deleted(sdk: Sdk, plan: dict[str, Any]) -> None:
    assert plan["id"].startswith("tp_")
    assert plan["type"] == "LIVE"
    assert sdk.call("getTrackingPlan", plan["id"])["trackingPlan"] == plan
    pages = sdk.pages("listTrackingPlans", "trackingPlans", count=2, type="LIVE")
    assert plan in [each for page in pages for each in page]
    change = {"name": unique("Changed"), "description": "What the shop sends"}
    assert sdk.call("updateTrackingPlan", plan["id"], body=change)["status"] == "SUCCESS"
    changed = sdk.call("getTrackingPlan", plan["id"])["trackingPlan"]
    assert changed == {**plan, **change, "updatedAt": changed["updatedAt"]}
    assert sdk.call("deleteTrackingPlan", plan["id"])["status"] == "SUCCESS"
    assert sdk.refusal("getTrackingPlan", plan["id"])["status"] == 404


@proves("replaceRulesInTrackingPlan", "listRulesFromTrackingPlan", "updateRulesInTrackingPlan", level=2)
@proves("removeRulesFromTrackingPlan", level=2)
def test_rules_are_replaced_listed_updated_and_removed(sdk: Sdk, plan: dict[str, Any]) -> None:
    whole = [rule("Order Completed"), rule("Order Completed", 2.5), rule(type="IDENTIFY"), rule("Home", type="PAGE")]
    assert sdk.call("replaceRulesInTrackingPlan", plan["id"], body={"rules": whole})["status"] == "SUCCESS"
    assert rules_of(sdk, plan, count=3) == whole
    update = {"rules": [rule("Order Completed", newKey="Order Paid"), rule("New", jsonSchema={"type": "object"})]}
    assert sdk.call("updateRulesInTrackingPlan", plan["id"], body=update)["status"] == "SUCCESS"
    assert rules_of(sdk, plan) == [rule("Order Paid"), *whole[1:], rule("New", jsonSchema={"type": "object"})]
    gone = [name("Order Paid"), name(type="IDENTIFY"), name("Order Completed", 2.5)]
    assert sdk.call("removeRulesFromTrackingPlan", plan["id"], rules=gone)["status"] == "SUCCESS"
    assert rules_of(sdk, plan) == [rule("Home", type="PAGE"), rule("New", jsonSchema={"type": "object"})]
    assert sdk.call("replaceRulesInTrackingPlan", plan["id"], body={"rules": []})["status"] == "SUCCESS"
    assert rules_of(sdk, plan) == []


def test_rules_of_any_name_are_removed_200_at_a_time(sdk: Sdk, plan: dict[str, Any]) -> None:
    keys = STRANGE + [f"{STRANGE[1]} {number}" for number in range(200 - len(STRANGE))]
    kept = rule("Kept")
    sdk.call("replaceRulesInTrackingPlan", plan["id"], body={"rules": [rule(key) for key in keys]})
    sdk.call("updateRulesInTrackingPlan", plan["id"], body={"rules": [kept]})
    sdk.call("removeRulesFromTrackingPlan", plan["id"], rules=[name(key) for key in keys])
    assert rules_of(sdk, plan) == [kept]


def test_a_schema_that_cannot_be_used_is_refused_and_named(sdk: Sdk, plan: dict[str, Any]) -> None:
    faulty = rule("B", jsonSchema={"properties": {"a": {"type": "any"}}})
    refused = sdk.refusal("replaceRulesInTrackingPlan", plan["id"], body={"rules": [rule("A"), faulty]})
    assert refused["status"] == 400
    assert refused["errors"][0]["field"] == "rules[1].jsonSchema.properties.a.type"
    assert rules_of(sdk, plan) == []


@proves("addSourceToTrackingPlan", "listSourcesFromTrackingPlan", "removeSourceFromTrackingPlan", level=2)
def test_a_source_is_connected_listed_and_disconnected(sdk: Sdk, plan: dict[str, Any]) -> None:
    source = make_source(sdk)
    body = {"sourceId": source["id"]}
    for _ in range(2):
        assert sdk.call("addSourceToTrackingPlan", plan["id"], body=body)["status"] == "SUCCESS"
    assert sdk.call("getSource", source["id"])["trackingPlanId"] == plan["id"]
    assert sdk.pages("listSourcesFromTrackingPlan", "sources", plan["id"], count=1) == [[source]]
    other = sdk.call("createTrackingPlan", body={"name": "Other", "type": "LIVE"})["trackingPlan"]
    refused = sdk.refusal("addSourceToTrackingPlan", other["id"], body=body)
    assert refused["status"] == 409
    assert sdk.call("removeSourceFromTrackingPlan", plan["id"], sourceId=source["id"])["status"] == "SUCCESS"
    assert sdk.call("getSource", source["id"]).get("trackingPlanId") is None
    assert sdk.refusal("removeSourceFromTrackingPlan", plan["id"], sourceId=source["id"])["status"] == 404


def test_every_schema_setting_that_is_sent_comes_back_once_a_plan_is_connected(
    sdk: Sdk, plan: dict[str, Any]
) -> None:
    source, other = make_source(sdk), make_source(sdk, "other")
    sent = {
        "track": {
            "allowUnplannedEvents": False,
            "allowUnplannedEventProperties": False,
            "allowEventOnViolations": False,
            "allowPropertiesOnViolations": False,
            "commonEventOnViolations": "BLOCK",
        },
        "identify": {
            "allowUnplannedTraits": False,
            "allowTraitsOnViolations": False,
            "commonEventOnViolations": "OMIT_TRAITS",
        },
        "group": {
            "allowUnplannedTraits": True,
            "allowTraitsOnViolations": False,
            "commonEventOnViolations": "ALLOW",
        },
        "forwardingViolationsTo": other["id"],
        "forwardingBlockedEventsTo": other["id"],
    }
    refused = sdk.refusal("updateSchemaSettingsInSource", source["id"], body=sent)
    assert refused["status"] == 400
    assert refused["errors"][0]["message"].startswith("Source is not connected to a tracking plan")
    sdk.call("addSourceToTrackingPlan", plan["id"], body={"sourceId": source["id"]})
    assert sdk.call("updateSchemaSettingsInSource", source["id"], body=sent)["settings"] == sent
    assert sdk.call("listSchemaSettingsInSource", source["id"])["settings"] == sent


@proves("createTrackingPlan", "addSourceToTrackingPlan", "replaceRulesInTrackingPlan", level=4)
@proves("updateSchemaSettingsInSource", "removeRulesFromTrackingPlan", level=4)
def test_a_rule_holds_from_its_call_to_its_removal(
    sdk: Sdk, server: RunningServer, sink: Sink, plan: dict[str, Any]
) -> None:
    source = make_source(sdk)
    make_webhook(sdk, source, f"{sink.url}/planned", "planned")
    sdk.call("replaceRulesInTrackingPlan", plan["id"], body={"rules": [rule("Paid"), rule("Seen")]})
    sdk.call("addSourceToTrackingPlan", plan["id"], body={"sourceId": source["id"]})
    settings = {"track": {"allowUnplannedEvents": False, "allowEventOnViolations": False}}
    sdk.call("updateSchemaSettingsInSource", source["id"], body=settings)
    send(server, source, track("Unplanned"), track("Paid"), track("Paid", properties={"total": 1}))
    assert sink.wait_for(1)[0].event["properties"] == {"total": 1}
    sdk.call("removeRulesFromTrackingPlan", plan["id"], rules=[name("Paid")])
    send(server, source, track("Paid", properties={"total": 2}), track("Seen", properties={"total": 3}))
    received = sink.wait_for(2)
    assert [each.event["properties"]["total"] for each in received] == [1, 3]
