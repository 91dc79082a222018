from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import databases
from contract.proves import proves
from mainstem.model.snapshot import LiveSnapshot, PlanConfig, RuleConfig, SchemaControls
from public_api.client import Api

RULE = {"type": "TRACK", "key": "Order Completed", "version": 1, "jsonSchema": {"required": ["properties"]}}
PLANNED = RuleConfig("TRACK", "Order Completed", 1.0, {"required": ["properties"]})


@pytest.fixture
def data_plane(api: Api, tmp_path: Path) -> Iterator[LiveSnapshot]:
    store = databases.snapshot_store(api.folder, api.vault.open)
    yield LiveSnapshot(store)
    store.close()


def new_source(api: Api, slug: str) -> str:
    body = {"slug": slug, "enabled": True, "metadataId": "IqDTy1TpoU"}
    return str(api.post("/sources", body).data["source"]["id"])


def new_plan(api: Api) -> str:
    created = api.post("/tracking-plans", {"name": "Other", "type": "LIVE"}).data["trackingPlan"]
    return f"/tracking-plans/{created['id']}"


def connect(api: Api, url: str, source_id: str) -> int:
    return api.post(f"{url}/sources", {"sourceId": source_id}).status


def plan_of(api: Api, source_id: str) -> Any:
    return api.get(f"/sources/{source_id}").data["trackingPlanId"]


def audited(api: Api) -> list[tuple[str, str]]:
    return [(each["type"], each["resourceId"]) for each in api.get("/audit-events").data["events"]]


@proves("addSourceToTrackingPlan", "getSource", level=3)
def test_a_source_is_connected_and_says_so_at_once(
    api: Api, plan: dict[str, Any], url: str, source: dict[str, Any]
) -> None:
    assert plan_of(api, source["id"]) is None
    reply = api.post(f"{url}/sources", {"sourceId": source["id"]})
    assert (reply.status, reply.data) == (200, {"status": "SUCCESS"})
    assert plan_of(api, source["id"]) == plan["id"]
    assert audited(api)[0] == ("Source Modified", source["id"])


def test_connecting_again_succeeds_and_is_no_change(api: Api, url: str, source: dict[str, Any]) -> None:
    connect(api, url, source["id"])
    before = audited(api)
    assert connect(api, url, source["id"]) == 200
    assert audited(api) == before


def test_a_second_plan_is_refused(api: Api, plan: dict[str, Any], url: str, source: dict[str, Any]) -> None:
    connect(api, url, source["id"])
    reply = api.post(f"{new_plan(api)}/sources", {"sourceId": source["id"]})
    assert (reply.status, reply.fields) == (409, ["sourceId"])
    assert plan_of(api, source["id"]) == plan["id"]


def test_a_source_that_is_not_there_is_not_connected(api: Api, url: str) -> None:
    for _ in range(10):  # as a configuration tool repeats it
        assert api.post(f"{url}/sources", {"sourceId": "nowhere"}).status == 404
    assert api.post(f"{url}/sources", {}).fields == ["sourceId"]
    assert api.get(f"{url}/sources").data["sources"] == []


@proves("listSourcesFromTrackingPlan", level=3)
def test_the_sources_of_a_plan_are_listed_in_pages(api: Api, url: str) -> None:
    ids = [new_source(api, f"s{number}") for number in range(3)]
    new_source(api, "unconnected")
    for source_id in ids:
        connect(api, url, source_id)
    first = api.get(f"{url}/sources?pagination.count=2").data
    assert first["sources"] == [api.get(f"/sources/{each}").data["source"] for each in ids[:2]]
    rest = api.get(f"{url}/sources?pagination.cursor={first['pagination']['next']}").data
    assert [each["id"] for each in rest["sources"]] == ids[2:]
    assert "next" not in rest["pagination"]


@proves("removeSourceFromTrackingPlan", level=3)
def test_a_source_is_disconnected_once(api: Api, url: str, source: dict[str, Any]) -> None:
    connect(api, url, source["id"])
    target = f"{url}/sources?sourceId={source['id']}"
    assert api.delete(target).data == {"status": "SUCCESS"}
    assert audited(api)[:2] == [("Source Modified", source["id"])] * 2
    assert plan_of(api, source["id"]) is None
    assert api.delete(target).status == 404
    assert api.delete(f"{url}/sources").fields == ["sourceId"]


def test_a_source_of_another_plan_is_not_disconnected(
    api: Api, plan: dict[str, Any], url: str, source: dict[str, Any]
) -> None:
    connect(api, url, source["id"])
    assert api.delete(f"{new_plan(api)}/sources?sourceId={source['id']}").status == 404
    assert plan_of(api, source["id"]) == plan["id"]


def test_a_disconnected_source_may_have_another_plan(api: Api, url: str, source: dict[str, Any]) -> None:
    connect(api, url, source["id"])
    api.delete(f"{url}/sources?sourceId={source['id']}")
    assert connect(api, new_plan(api), source["id"]) == 200


def test_a_deleted_plan_disconnects_its_sources(api: Api, url: str, source: dict[str, Any]) -> None:
    connect(api, url, source["id"])
    api.patch(f"/sources/{source['id']}/settings", {"track": {"commonEventOnViolations": "BLOCK"}})
    api.delete(url)
    assert plan_of(api, source["id"]) is None
    settings = api.get(f"/sources/{source['id']}/settings").data["settings"]
    assert settings["track"]["commonEventOnViolations"] == "ALLOW"


def test_a_deleted_source_is_of_no_plan(api: Api, url: str, source: dict[str, Any]) -> None:
    connect(api, url, source["id"])
    api.delete(f"/sources/{source['id']}")
    assert api.get(f"{url}/sources").data["sources"] == []
    assert api.delete(f"{url}/sources?sourceId={source['id']}").status == 404


@proves("addSourceToTrackingPlan", "removeSourceFromTrackingPlan", level=4)
def test_the_data_plane_knows_a_plan_while_a_source_is_connected(
    api: Api, data_plane: LiveSnapshot, plan: dict[str, Any], url: str, source: dict[str, Any]
) -> None:
    api.put(f"{url}/rules", {"rules": [RULE]})
    assert data_plane.refresh().plans == {}
    connect(api, url, source["id"])
    snapshot = data_plane.refresh()
    assert snapshot.plans == {plan["id"]: PlanConfig(plan["id"], "Shop", (PLANNED,))}
    assert snapshot.sources[source["id"]].tracking_plan_id == plan["id"]
    api.delete(f"{url}/sources?sourceId={source['id']}")
    snapshot = data_plane.refresh()
    assert (snapshot.plans, snapshot.sources[source["id"]].tracking_plan_id) == ({}, "")


@proves("updateTrackingPlan", "deleteTrackingPlan", level=4)
@proves("replaceRulesInTrackingPlan", "updateRulesInTrackingPlan", "removeRulesFromTrackingPlan", level=4)
def test_each_change_of_a_connected_plan_is_published(
    api: Api, data_plane: LiveSnapshot, plan: dict[str, Any], url: str, source: dict[str, Any]
) -> None:
    def seen() -> PlanConfig:
        return data_plane.refresh().plans[plan["id"]]

    connect(api, url, source["id"])
    assert seen() == PlanConfig(plan["id"], "Shop", ())
    api.put(f"{url}/rules", {"rules": [RULE]})
    assert seen().rules == (PLANNED,)
    api.patch(f"{url}/rules", {"rules": [{"type": "IDENTIFY", "version": 2, "jsonSchema": {}}]})
    assert seen().rules == (PLANNED, RuleConfig("IDENTIFY", "", 2.0, {}))
    api.patch(url, {"name": "Store"})
    assert seen().name == "Store"
    api.delete(f"{url}/rules?rules.0[type]=TRACK&rules.0[key]=Order Completed&rules.0[version]=1")
    assert [each.type for each in seen().rules] == ["IDENTIFY"]
    api.delete(url)
    assert data_plane.refresh().plans == {}
    assert data_plane.current.sources[source["id"]].tracking_plan_id == ""


def test_only_a_change_that_the_data_plane_can_see_is_published(
    api: Api, data_plane: LiveSnapshot, url: str, source: dict[str, Any]
) -> None:
    connect(api, url, source["id"])
    before = data_plane.refresh().version
    api.patch(url, {"description": "What the shop sends"})
    assert api.get(url).data["trackingPlan"]["description"] == "What the shop sends"
    assert data_plane.refresh().version == before
    api.patch(url, {"description": None, "name": "Store"})
    assert data_plane.refresh().version > before


def test_a_plan_goes_from_the_data_plane_with_its_last_source(
    api: Api, data_plane: LiveSnapshot, plan: dict[str, Any], url: str, source: dict[str, Any]
) -> None:
    other = new_source(api, "other")
    connect(api, url, source["id"])
    connect(api, url, other)
    api.delete(f"/sources/{source['id']}")
    assert plan["id"] in data_plane.refresh().plans
    api.delete(f"/sources/{other}")
    assert data_plane.refresh().plans == {}


@proves("updateSchemaSettingsInSource", level=4)
def test_the_data_plane_knows_the_schema_settings(
    api: Api, data_plane: LiveSnapshot, url: str, source: dict[str, Any]
) -> None:
    other = new_source(api, "other")
    connect(api, url, source["id"])
    assert data_plane.refresh().sources[source["id"]].schema == SchemaControls()
    body = {
        "track": {
            "allowUnplannedEvents": False,
            "allowUnplannedEventProperties": False,
            "allowEventOnViolations": False,
            "allowPropertiesOnViolations": False,
            "commonEventOnViolations": "OMIT_PROPERTIES",
        },
        "identify": {"allowUnplannedTraits": False, "commonEventOnViolations": "Block"},
        "group": {"allowTraitsOnViolations": False, "commonEventOnViolations": "OMIT_TRAITS"},
        "forwardingViolationsTo": other,
        "forwardingBlockedEventsTo": other,
    }
    api.patch(f"/sources/{source['id']}/settings", body)
    controls = data_plane.refresh().sources[source["id"]].schema
    assert controls == SchemaControls(
        allow_unplanned_events=False,
        allow_unplanned_event_properties=False,
        allow_event_on_violations=False,
        allow_properties_on_violations=False,
        track_common="OMIT_PROPERTIES",
        allow_unplanned_identify_traits=False,
        identify_common="BLOCK",
        allow_group_traits_on_violations=False,
        group_common="OMIT_TRAITS",
        forwarding_violations_to=other,
        forwarding_blocked_events_to=other,
    )
    api.delete(f"/sources/{other}")
    controls = data_plane.refresh().sources[source["id"]].schema
    assert (controls.forwarding_violations_to, controls.forwarding_blocked_events_to) == ("", "")
    api.delete(f"{url}/sources?sourceId={source['id']}")
    assert data_plane.refresh().sources[source["id"]].schema == SchemaControls()
