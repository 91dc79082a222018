from __future__ import annotations

from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api
from public_api.connections import trail
from public_api.warehousing import new_warehouse

PRINTED = {
    "enabled": True,
    "schedule": {
        "times": [
            {"hourOfDay": 7, "enabled": True},
            {"hourOfDay": 5, "enabled": False},
            {"hourOfDay": 23, "enabled": True},
        ],
        "timezone": "America/Vancouver",
    },
}


@pytest.fixture
def url(api: Api) -> str:
    return f"/warehouses/{new_warehouse(api)['id']}/advanced-sync-schedule"


def schedule(*hours: Any, timezone: Any = "UTC") -> dict[str, Any]:
    times = [{"hourOfDay": hour, "enabled": True} for hour in hours]
    return {"enabled": True, "schedule": {"times": times, "timezone": timezone}}


@proves("getAdvancedSyncScheduleFromWarehouse", level=3)
def test_a_warehouse_begins_without_a_schedule(api: Api, url: str) -> None:
    assert api.get(url).data == {"enabled": False}


@proves("replaceAdvancedSyncScheduleForWarehouse", "getAdvancedSyncScheduleFromWarehouse", level=3)
def test_a_schedule_comes_back_as_it_was_sent(api: Api, url: str) -> None:
    assert api.put(url, PRINTED).data == PRINTED
    assert api.get(url).data == PRINTED


@pytest.mark.parametrize(
    "body", [schedule(0), {"enabled": False}, {"enabled": False, "schedule": PRINTED["schedule"]}]
)
def test_a_new_one_takes_the_place_of_the_whole(api: Api, url: str, body: dict[str, Any]) -> None:
    api.put(url, PRINTED)
    assert api.put(url, body).data == api.get(url).data == body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "enabled"),
        ({"enabled": True}, "schedule"),
        ({"enabled": True, "schedule": {"timezone": "UTC"}}, "schedule.times"),
        (schedule(24), "schedule.times[0].hourOfDay"),
        (schedule(-1), "schedule.times[0].hourOfDay"),
        (schedule(1.5), "schedule.times[0].hourOfDay"),
        (schedule(3, 4, 3), "schedule.times[2].hourOfDay"),
        (schedule(1, timezone="Mars/Olympus"), "schedule.timezone"),
        (schedule(1, timezone="../etc/passwd"), "schedule.timezone"),
        (schedule(1, timezone=""), "schedule.timezone"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_and_nothing_changes(api: Api, url: str, body: dict[str, Any], field: str) -> None:
    api.put(url, PRINTED)
    reply = api.put(url, body)
    assert (reply.status, reply.fields) == (422, [field])
    assert api.get(url).data == PRINTED


def test_a_change_is_in_the_audit_trail(api: Api, url: str) -> None:
    api.put(url, PRINTED)
    assert trail(api)[-1] == "Storage Destination Modified"


def test_reading_takes_a_reader_and_changing_an_admin(api: Api, url: str) -> None:
    reader, admin = api.member_with("Warehouse Read-only"), api.member_with("Warehouse Admin")
    assert [api.get(url, token=token).status for token in (reader, admin)] == [200, 200]
    assert [api.put(url, PRINTED, token=token).status for token in (reader, admin)] == [403, 200]


def test_an_unknown_warehouse_is_not_found(api: Api) -> None:
    url = "/warehouses/nothing/advanced-sync-schedule"
    assert [api.get(url).status, api.put(url, PRINTED).status] == [404, 404]
