from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api
from public_api.connections import trail

TYPES = ["ENGAGE", "LIVE", "PROPERTY_LIBRARY", "RULE_LIBRARY", "TEMPLATE"]


@proves("createTrackingPlan", "getTrackingPlan", level=3)
def test_a_plan_is_created_and_read(api: Api) -> None:
    reply = api.post("/tracking-plans", {"name": "Order Plan (2)", "type": "LIVE", "description": "Checkout"})
    plan = reply.data["trackingPlan"]
    assert reply.status == 200
    assert plan == {
        "id": plan["id"],
        "name": "Order Plan (2)",
        "slug": "order-plan-2",
        "type": "LIVE",
        "description": "Checkout",
        "createdAt": "2026-03-10T12:00:00.000Z",
        "updatedAt": "2026-03-10T12:00:00.000Z",
    }
    assert plan["id"].startswith("tp_")
    assert api.get(f"/tracking-plans/{plan['id']}").data == {"trackingPlan": plan}


@pytest.mark.parametrize("type", TYPES)
def test_every_type_of_plan_is_kept(api: Api, type: str) -> None:
    plan = api.post("/tracking-plans", {"name": "P", "type": type}).data["trackingPlan"]
    assert api.get(f"/tracking-plans/{plan['id']}").data["trackingPlan"]["type"] == type


@pytest.mark.parametrize("body", [{}, {"description": None}])
def test_a_plan_without_a_description_shows_none(api: Api, body: dict[str, Any]) -> None:
    plan = api.post("/tracking-plans", {"name": "P", "type": "LIVE"} | body).data["trackingPlan"]
    assert "description" not in plan


@pytest.mark.parametrize(("name", "slug"), [("Été 2026", "été-2026"), ("!!", "tracking-plan"), ("a_b  c", "a-b-c")])
def test_the_slug_is_made_from_the_name(api: Api, name: str, slug: str) -> None:
    assert api.post("/tracking-plans", {"name": name, "type": "LIVE"}).data["trackingPlan"]["slug"] == slug


def test_two_plans_may_have_one_name(api: Api, plan: dict[str, Any]) -> None:
    other = api.post("/tracking-plans", {"name": plan["name"], "type": "LIVE"}).data["trackingPlan"]
    assert other["id"] != plan["id"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name", "type"]),
        ({"name": "", "type": "live"}, ["name", "type"]),
        ({"name": None, "type": None}, ["name", "type"]),
        ({"name": "n" * 256, "type": "LIVE", "description": 1}, ["name", "description"]),
    ],
)
def test_every_fault_of_a_new_plan_is_named(api: Api, body: dict[str, Any], fields: list[str]) -> None:
    reply = api.post("/tracking-plans", body)
    assert (reply.status, reply.fields) == (422, fields)
    assert api.get("/tracking-plans").data["trackingPlans"] == []


@proves("listTrackingPlans", level=3)
def test_plans_are_listed_in_pages_and_by_type(api: Api) -> None:
    made = [api.post("/tracking-plans", {"name": each, "type": each}).data["trackingPlan"] for each in TYPES]
    first = api.get("/tracking-plans?pagination.count=2").data
    assert (first["trackingPlans"], first["pagination"]["totalEntries"]) == (made[:2], 5)
    rest = api.get(f"/tracking-plans?pagination.count=3&pagination.cursor={first['pagination']['next']}").data
    assert (rest["trackingPlans"], "next" in rest["pagination"]) == (made[2:], False)
    assert api.get("/tracking-plans?type=TEMPLATE").data["trackingPlans"] == [made[4]]
    assert api.get("/tracking-plans?type=other").fields == ["type"]


@proves("updateTrackingPlan", level=3)
def test_an_update_answers_with_a_status_alone(api: Api, plan: dict[str, Any], url: str) -> None:
    api.pass_time(minutes=1)
    assert api.patch(url, {"name": "Store", "description": "d"}).data == {"status": "SUCCESS"}
    changed = plan | {"name": "Store", "description": "d", "updatedAt": "2026-03-10T12:01:00.000Z"}
    assert api.get(url).data["trackingPlan"] == changed


def test_an_update_keeps_what_it_does_not_name_and_clears_a_description_of_null(
    api: Api, plan: dict[str, Any], url: str
) -> None:
    api.patch(url, {"description": "d"})
    assert api.get(url).data["trackingPlan"] == plan | {"description": "d"}
    api.patch(url, {"description": None})
    assert api.get(url).data["trackingPlan"] == plan


def test_the_type_of_a_plan_stays_and_nothing_changes_nothing(api: Api, plan: dict[str, Any], url: str) -> None:
    api.pass_time(minutes=1)
    assert api.patch(url, {"type": "TEMPLATE"}).status == 200
    assert api.get(url).data["trackingPlan"] == plan
    assert api.patch(url, {"name": None}).fields == ["name"]


@proves("deleteTrackingPlan", level=3)
def test_a_plan_is_deleted_once(api: Api, url: str) -> None:
    assert api.delete(url).data == {"status": "SUCCESS"}
    assert api.get("/tracking-plans").data["trackingPlans"] == []
    assert (api.get(url).status, api.delete(url).status, api.patch(url, {}).status) == (404, 404, 404)


def test_an_unknown_plan_is_not_found_by_any_operation(api: Api, source: dict[str, Any]) -> None:
    url = "/tracking-plans/tp_none"
    replies = [
        api.get(url),
        api.patch(url, {"name": "n"}),
        api.delete(url),
        api.get(f"{url}/rules"),
        api.put(f"{url}/rules", {"rules": []}),
        api.patch(f"{url}/rules", {"rules": []}),
        api.delete(f"{url}/rules?rules.0[type]=COMMON&rules.0[version]=1"),
        api.get(f"{url}/sources"),
        api.post(f"{url}/sources", {"sourceId": source["id"]}),
        api.delete(f"{url}/sources?sourceId={source['id']}"),
    ]
    assert [each.status for each in replies] == [404] * 10
    assert {each.messages[0] for each in replies} == {"Tracking plan with id 'tp_none' not found."}


def test_a_plan_of_another_workspace_is_not_found(api: Api, url: str) -> None:
    with api.database.transaction(writes=True) as db:
        db.exec_driver_sql("UPDATE tracking_plans SET workspace_id = 'another'")
    assert api.get(url).status == 404
    assert api.get("/tracking-plans").data["trackingPlans"] == []


def test_members_read_and_do_not_write(api: Api, url: str) -> None:
    for path in ("/tracking-plans", url, f"{url}/rules", f"{url}/sources"):
        assert api.get(path, token=api.member).status == 200
    body = {"name": "n", "type": "LIVE"}
    assert api.post("/tracking-plans", body, token=api.member).status == 403
    assert api.patch(url, body, token=api.member).status == 403
    assert api.delete(url, token=api.member).status == 403
    assert api.put(f"{url}/rules", {"rules": []}, token=api.member).status == 403
    assert api.post(f"{url}/sources", {"sourceId": "s"}, token=api.member).status == 403


def test_every_change_of_a_plan_and_its_rules_is_in_the_audit_trail(api: Api, url: str) -> None:
    rule = {"type": "TRACK", "key": "A", "version": 1, "jsonSchema": {}}
    api.patch(url, {"name": "Store"})
    api.patch(url, {"name": "Store"})
    api.put(f"{url}/rules", {"rules": [rule]})
    api.patch(f"{url}/rules", {"rules": [rule | {"newKey": "B"}]})
    api.delete(f'{url}/rules?rules={{"type":"TRACK","key":"B","version":1}}')
    api.delete(url)
    assert trail(api) == [f"Tracking Plan {each}" for each in ("Created", *["Modified"] * 4, "Deleted")]
    names = [event["resourceName"] for event in reversed(api.get("/audit-events").data["events"])]
    assert names == ["Shop", *["Store"] * 5]
