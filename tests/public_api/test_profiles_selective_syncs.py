from __future__ import annotations

from typing import Any

import pytest

from contract.proves import proves
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.client import Api
from public_api.connections import trail
from public_api.test_spaces import space_ids

TABLES = [
    "external_id_mapping_updates", "id_graph_updates", "profile_traits_updates",
    "profile_merges", "user_identifiers", "user_traits",
    "identifies", "pages", "screens", "groups", "aliases", "tracks",
]  # fmt: skip


@pytest.fixture
def warehouse_url(api: Api) -> str:
    url = f"/spaces/{space_ids(api)['dev']}/profiles-warehouses"
    body = {"metadataId": "55d3d3aea3c", "settings": {}}
    made: str = api.post(url, body).data["profilesWarehouse"]["id"]
    return f"{url}/{made}"


@pytest.fixture
def url(warehouse_url: str) -> str:
    return f"{warehouse_url}/selective-syncs"


def off(api: Api, url: str) -> dict[str, Any]:
    """Collections that are disabled, or that have properties which are, with those."""
    items = api.get(url).data["items"]
    changed = (each for each in items if not each["enabled"] or each["properties"])
    return {each["collection"]: (each["enabled"], each["properties"]) for each in changed}


@proves("listSelectiveSyncsFromWarehouseAndSpace", level=3)
def test_a_new_warehouse_gets_every_table(api: Api, warehouse_url: str, url: str) -> None:
    listed = api.get(url).data
    assert listed["enableEventTables"] is True
    assert [each["collection"] for each in listed["items"]] == TABLES
    assert listed["items"][0] == {
        "collection": TABLES[0],
        "warehouseId": warehouse_url.rpartition("/")[2],
        "enabled": True,
        "properties": {},
    }
    assert listed["pagination"] == {"current": "MA==", "totalEntries": 12}


def test_tables_are_listed_in_pages(api: Api, url: str) -> None:
    first = api.get(f"{url}?pagination.count=10").data
    rest = api.get(f"{url}?pagination.count=10&pagination.cursor={first['pagination']['next']}").data
    assert [each["collection"] for each in (*first["items"], *rest["items"])] == TABLES


@proves("updateSelectiveSyncForWarehouseAndSpace", "listSelectiveSyncsFromWarehouseAndSpace", level=4)
def test_a_collection_or_one_of_its_properties_is_switched(api: Api, url: str) -> None:
    overrides = [
        {"collection": "pages", "enabled": False},
        {"collection": "order_completed", "property": "total", "enabled": False},
    ]
    assert api.patch(url, {"syncOverrides": overrides}).data == {"status": "UPDATED"}
    assert off(api, url) == {"pages": (False, {}), "order_completed": (True, {"total": False})}
    back = [each | {"enabled": True} for each in overrides]
    assert api.patch(url, {"syncOverrides": back}).data == {"status": "UPDATED"}
    assert off(api, url) == {}


def test_what_stands_so_already_is_unchanged(api: Api, url: str) -> None:
    overrides = [{"collection": "pages", "enabled": False}]
    assert api.patch(url, {"syncOverrides": [{"collection": "pages", "enabled": True}]}).data["status"] == "UNCHANGED"
    assert api.patch(url, {"syncOverrides": overrides}).data["status"] == "UPDATED"
    assert api.patch(url, {"syncOverrides": overrides, "enableEventTables": True}).data["status"] == "UNCHANGED"
    assert api.patch(url, {}).data["status"] == "UNCHANGED"
    assert trail(api)[1:] == ["Profiles Sync Warehouse Modified"]


def test_of_two_overrides_of_the_same_the_last_stands(api: Api, url: str) -> None:
    overrides = [{"collection": "pages", "enabled": each} for each in (False, True, False)]
    assert api.patch(url, {"syncOverrides": overrides}).data["status"] == "UPDATED"
    assert off(api, url) == {"pages": (False, {})}


def test_without_event_tables_only_profiles_are_synced_and_no_override_is_taken(api: Api, url: str) -> None:
    assert api.patch(url, {"enableEventTables": False}).data["status"] == "UPDATED"
    assert api.get(url).data["enableEventTables"] is False
    assert off(api, url).keys() == {*TABLES[6:]}
    overrides = [{"collection": "user_traits", "enabled": False}]
    refused = api.patch(url, {"syncOverrides": overrides})
    assert (refused.status, refused.fields) == (400, ["syncOverrides"])
    together = {"syncOverrides": overrides, "enableEventTables": True}
    assert api.patch(url, together).data["status"] == "UPDATED"
    assert off(api, url) == {"user_traits": (False, {})}


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ({"enabled": True}, "syncOverrides[0].collection"),
        ({"collection": "pages"}, "syncOverrides[0].enabled"),
        ({"collection": "", "enabled": True}, "syncOverrides[0].collection"),
        ({"collection": "pages", "enabled": True, "property": ""}, "syncOverrides[0].property"),
    ],
)
def test_an_override_names_a_collection_and_says_whether(
    api: Api, url: str, override: dict[str, Any], field: str
) -> None:
    reply = api.patch(url, {"syncOverrides": [override]})
    assert (reply.status, reply.fields) == (422, [field])


def test_an_unknown_warehouse_is_not_found(api: Api, url: str) -> None:
    elsewhere = url.replace(space_ids(api)["dev"], space_ids(api)["prod"])
    assert [api.get(elsewhere).status, api.patch(elsewhere, {}).status] == [404, 404]


def test_who_may_only_read_a_space_does_not_switch(api: Api, url: str) -> None:
    reader = api.member_with("Unify and Engage Read-only", Resource(space_ids(api)["dev"], ResourceType.SPACE))
    assert api.get(url, token=reader).status == 200
    assert api.patch(url, {"enableEventTables": False}, token=reader).status == 403
