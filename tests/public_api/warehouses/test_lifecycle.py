from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract.proves import proves
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.client import Api
from public_api.connections import HTTP_API, new_source, trail
from public_api.warehousing import (
    BIGQUERY,
    POSTGRES,
    SERVER,
    SNOWFLAKE,
    connected_sources,
    connected_warehouses,
    new_credential,
    new_warehouse,
)

MASK = "\u2022" * 10
SHOWN = {key: value for key, value in SERVER.items() if key != "password"} | {"encrypted": True}


class TestCreate:
    @proves("createWarehouse", "getWarehouse", level=3)
    def test_a_warehouse_is_answered_with_201_and_comes_back_the_same(self, api: Api) -> None:
        reply = api.post("/warehouses", {"metadataId": POSTGRES, "settings": SERVER, "name": "Events"})
        warehouse = reply.data["warehouse"]
        assert reply.status == 201
        assert warehouse["metadata"] == api.get(f"/catalog/warehouses/{POSTGRES}").data["warehouseMetadata"]
        assert warehouse == {
            "id": warehouse["id"],
            "workspaceId": api.workspace.id,
            "enabled": True,
            "metadata": warehouse["metadata"],
            "settings": SHOWN | {"name": "Events"},
        }
        assert api.get(f"/warehouses/{warehouse['id']}").data == {"warehouse": warehouse}

    @pytest.mark.parametrize("name", [None, ""])
    def test_no_name_is_invented(self, api: Api, name: str | None) -> None:
        assert new_warehouse(api, name=name)["settings"] == SHOWN

    def test_a_name_may_come_within_the_settings(self, api: Api) -> None:
        assert new_warehouse(api, settings={"name": "Events"})["settings"] == {"name": "Events"}

    def test_a_name_wins_over_one_within_the_settings(self, api: Api) -> None:
        assert new_warehouse(api, name="A", settings={"name": "B"})["settings"] == {"name": "A"}

    def test_it_can_be_made_disabled(self, api: Api) -> None:
        assert new_warehouse(api, enabled=False)["enabled"] is False

    def test_it_is_connected_to_every_source(self, api: Api) -> None:
        ids = [new_source(api, slug) for slug in ("one", "two")]
        warehouse = new_warehouse(api, disconnectAllSources=False)
        assert connected_sources(api, warehouse["id"]) == ids

    def test_it_is_connected_to_none_when_told_so(self, api: Api) -> None:
        new_source(api)
        assert connected_sources(api, new_warehouse(api)["id"]) == []

    def test_it_is_connected_to_no_source_that_its_maker_may_not_connect(self, api: Api) -> None:
        new_source(api)
        warehouse_admin = api.member_with("Warehouse Admin")
        body = {"metadataId": POSTGRES, "settings": {}}
        warehouse = api.post("/warehouses", body, token=warehouse_admin).data["warehouse"]
        assert connected_sources(api, warehouse["id"]) == []

    def test_everything_that_is_missing_is_named_at_once(self, api: Api) -> None:
        reply = api.post("/warehouses", {})
        assert (reply.status, reply.fields) == (422, ["metadataId", "settings"])

    def test_an_unknown_type_is_named(self, api: Api) -> None:
        reply = api.post("/warehouses", {"metadataId": "postgres", "settings": {}})
        assert (reply.status, reply.fields) == (422, ["metadataId"])

    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            ({"hostname": 7}, "settings.hostname"),
            ({"port": True}, "settings.port"),
            ({"password": ["x"]}, "settings.password"),
            ({"name": 1}, "settings.name"),
            ({"name": "x" * 256}, "settings.name"),
            ({"big": 2**70}, "settings.big"),
        ],
    )
    def test_a_setting_that_cannot_be_is_named(self, api: Api, settings: dict[str, Any], field: str) -> None:
        reply = api.post("/warehouses", {"metadataId": POSTGRES, "settings": settings})
        assert (reply.status, reply.fields) == (422, [field])

    @pytest.mark.parametrize("port", [5432, "5432"])
    def test_a_port_comes_back_as_it_was_sent(self, api: Api, port: Any) -> None:
        assert new_warehouse(api, settings={"port": port})["settings"] == {"port": port}

    def test_it_is_in_the_audit_trail(self, api: Api) -> None:
        warehouse = new_warehouse(api, name="Events")
        (event,) = api.get("/audit-events").data["events"]
        assert event["type"] == "Storage Destination Created"
        named = (event["resourceId"], event["resourceType"], event["resourceName"])
        assert named == (warehouse["id"], "WAREHOUSE", "Events")

    def test_who_administers_one_warehouse_makes_no_other(self, api: Api) -> None:
        mine = Resource(new_warehouse(api)["id"], ResourceType.WAREHOUSE)
        token = api.member_with("Warehouse Admin", mine)
        assert api.post("/warehouses", {"metadataId": POSTGRES, "settings": {}}, token=token).status == 403


class TestSecrets:
    def test_a_password_never_leaves(self, api: Api) -> None:
        new_warehouse(api)
        assert SERVER["password"] not in str(api.get("/warehouses").body)
        assert "password" not in api.get("/warehouses").data["warehouses"][0]["settings"]

    def test_other_secrets_leave_as_masks_so_that_they_are_not_taken_for_missing(self, api: Api) -> None:
        settings = {"gc-project": "acme", "credentials": '{"private_key": "abc"}'}
        shown = new_warehouse(api, metadataId=BIGQUERY, settings=settings)["settings"]
        assert shown == {"gc-project": "acme", "credentials": MASK, "encrypted": True}

    def test_a_mask_that_comes_back_keeps_the_secret(self, api: Api) -> None:
        warehouse = new_warehouse(api, metadataId=SNOWFLAKE, settings={"privateKey": "abc", "account": "a"})
        before = sealed(api)
        shown = api.patch(f"/warehouses/{warehouse['id']}", {"settings": warehouse["settings"] | {"account": "b"}})
        assert shown.data["warehouse"]["settings"] == {"privateKey": MASK, "account": "b", "encrypted": True}
        assert before["privateKey"] == sealed(api)["privateKey"] == "abc"

    def test_a_setting_that_nobody_describes_is_masked_when_it_has_the_name_of_a_secret(self, api: Api) -> None:
        settings = {"sslKeyPassphrase": "abc", "sslMode": "require", "api_key": "abc"}
        shown = new_warehouse(api, settings=settings)["settings"]
        assert shown == {"sslKeyPassphrase": MASK, "sslMode": "require", "api_key": MASK, "encrypted": True}

    def test_settings_lie_sealed_in_their_row(self, api: Api) -> None:
        new_warehouse(api)
        with api.database.transaction(writes=False) as db:
            (row,) = db.exec_driver_sql("SELECT settings FROM warehouses").all()
        assert SERVER["password"].encode() not in row[0]


def sealed(api: Api) -> dict[str, Any]:
    """The settings of the only warehouse, secrets included."""
    with api.database.transaction(writes=False) as db:
        (row,) = db.exec_driver_sql("SELECT id, settings FROM warehouses").all()
    found: dict[str, Any] = msgspec.json.decode(api.vault.open(row[1], row[0]))
    return found


class TestRead:
    @proves("listWarehouses", level=3)
    @pytest.mark.parametrize(
        "spelling",
        [
            "pagination.count=2&pagination.cursor=MA==",
            "pagination[count]=2&pagination[cursor]=MA%3D%3D",
            "pagination=%7B%22count%22%3A%202%2C%20%22cursor%22%3A%20%22MA%3D%3D%22%7D",
        ],
    )
    def test_a_page_is_the_same_in_every_spelling(self, api: Api, spelling: str) -> None:
        made = [new_warehouse(api, name=name) for name in "abc"]
        data = api.get(f"/warehouses?{spelling}").data
        assert data["warehouses"] == made[:2]
        assert {key: data["pagination"][key] for key in ("current", "totalEntries")} == {
            "current": "MA==",
            "totalEntries": 3,
        }

    def test_the_last_page_has_no_next(self, api: Api) -> None:
        made = [new_warehouse(api, name=name) for name in "abc"]
        following = api.get("/warehouses?pagination.count=2").data["pagination"]["next"]
        data = api.get(f"/warehouses?pagination.count=2&pagination.cursor={following}").data
        assert data["warehouses"] == made[2:]
        assert "next" not in data["pagination"]

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_an_unknown_one_is_not_found(self, api: Api, method: str) -> None:
        reply = api.call(f"{method} /warehouses/nothing", {"settings": {}} if method == "PATCH" else None)
        assert (reply.status, reply.messages) == (404, ["Warehouse with id 'nothing' not found."])

    def test_roles_say_which_warehouses_there_are_and_who_changes_them(self, api: Api) -> None:
        one, two = (new_warehouse(api, name=name)["id"] for name in ("one", "two"))
        reader = api.member_with("Warehouse Read-only", Resource(one, ResourceType.WAREHOUSE))
        assert [each["id"] for each in api.get("/warehouses", token=reader).data["warehouses"]] == [one]
        assert api.get(f"/warehouses/{two}", token=reader).status == 404
        admin = api.member_with("Warehouse Admin", Resource(one, ResourceType.WAREHOUSE))
        body = {"settings": {}, "name": "new"}
        pairs = [(each, token) for each in (one, two) for token in (reader, admin)]
        replies = [api.patch(f"/warehouses/{each}", body, token=token) for each, token in pairs]
        assert [reply.status for reply in replies] == [403, 200, 403, 404]
        assert api.get("/warehouses", token=api.member_with("Source Admin")).status == 403


class TestUpdate:
    @proves("updateWarehouse", level=3)
    def test_a_name_wins_over_the_null_within_the_settings_of_the_same_body(self, api: Api) -> None:
        url = f"/warehouses/{new_warehouse(api, name='old')['id']}"
        changed = api.patch(url, {"name": "N", "settings": {"name": None}}).data["warehouse"]
        assert changed["settings"] == SHOWN | {"name": "N"}
        assert api.get(url).data["warehouse"] == changed
        assert "name" not in changed

    def test_settings_are_merged_and_null_deletes(self, api: Api) -> None:
        url = f"/warehouses/{new_warehouse(api, name='Events')['id']}"
        settings = api.patch(url, {"settings": {"port": None, "database": "other"}}).data["warehouse"]["settings"]
        expected = SHOWN | {"name": "Events", "database": "other"}
        assert settings == {key: value for key, value in expected.items() if key != "port"}
        assert sealed(api)["password"] == SERVER["password"]

    def test_nulls_for_what_the_server_made_change_nothing(self, api: Api) -> None:
        url = f"/warehouses/{new_warehouse(api, name='Events')['id']}"
        body = {"settings": {"encrypted": None, "name": None}}
        assert api.patch(url, body).data["warehouse"]["settings"] == SHOWN | {"name": "Events"}
        assert trail(api) == ["Storage Destination Created"]

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ({"settings": {}}, "old"),
            ({"settings": {}, "name": ""}, "old"),
            ({"settings": {}, "name": None}, None),
            ({"settings": {"name": None}, "name": None}, None),
            ({"settings": {"name": "new"}, "name": None}, "new"),
            ({"settings": {"name": "new"}}, "new"),
            ({"settings": {"name": "other"}, "name": "new"}, "new"),
        ],
    )
    def test_the_name_comes_from_wherever_it_is_given(self, api: Api, body: dict[str, Any], name: str | None) -> None:
        url = f"/warehouses/{new_warehouse(api, name='old')['id']}"
        assert api.patch(url, body).data["warehouse"]["settings"].get("name") == name

    def test_what_was_without_a_password_says_so_once_it_has_one(self, api: Api) -> None:
        url = f"/warehouses/{new_warehouse(api, settings={})['id']}"
        assert api.get(url).data["warehouse"]["settings"] == {}
        assert api.patch(url, {"settings": {"password": "p"}}).data["warehouse"]["settings"] == {"encrypted": True}
        assert api.patch(url, {"settings": {"password": None}}).data["warehouse"]["settings"] == {}

    def test_settings_are_required(self, api: Api) -> None:
        reply = api.patch(f"/warehouses/{new_warehouse(api)['id']}", {"name": "x"})
        assert (reply.status, reply.fields) == (422, ["settings"])

    def test_each_kind_of_change_is_in_the_audit_trail(self, api: Api) -> None:
        url = f"/warehouses/{new_warehouse(api)['id']}"
        for body in ({"enabled": False}, {"enabled": True}, {"enabled": True}, {"name": "new"}):
            api.patch(url, {"settings": {}} | body)
        kinds = ["Created", "Disabled", "Enabled", "Modified"]
        assert trail(api) == [f"Storage Destination {kind}" for kind in kinds]


class TestDelete:
    @proves("deleteWarehouse", level=3)
    def test_a_deleted_warehouse_is_gone_and_cannot_be_deleted_again(self, api: Api) -> None:
        url = f"/warehouses/{new_warehouse(api)['id']}"
        assert api.delete(url).data == {"status": "SUCCESS"}
        assert [api.get(url).status, api.delete(url).status] == [404, 404]
        assert trail(api)[-1] == "Storage Destination Deleted"

    def test_what_belongs_to_it_goes_along(self, api: Api) -> None:
        source_id, credential = new_source(api), new_credential(api)
        url = f"/warehouses/{furnished(api, source_id, credential)}"
        assert all(left_of(api))
        api.delete(url)
        assert not any(left_of(api))
        assert api.delete(f"/credentials/{credential}").status == 200

    def test_a_deleted_source_takes_its_connections_and_what_was_excluded_along(self, api: Api) -> None:
        source_id = new_source(api)
        warehouse_id = furnished(api, source_id, new_credential(api))
        api.delete(f"/sources/{source_id}")
        assert connected_sources(api, warehouse_id) == []
        connections, exclusions, schedules, uses = left_of(api)
        assert (connections, exclusions) == (0, 0)
        assert (schedules, uses) == (1, 1)


def furnished(api: Api, source_id: str, credential_id: str) -> str:
    """The id of a warehouse that is connected, scheduled, restricted and has a credential."""
    settings = {"credentialId": credential_id}
    warehouse_id: str = new_warehouse(api, settings=settings, disconnectAllSources=False)["id"]
    url = f"/warehouses/{warehouse_id}"
    schedule = {"times": [{"hourOfDay": 1, "enabled": True}], "timezone": "UTC"}
    api.put(f"{url}/advanced-sync-schedule", {"enabled": True, "schedule": schedule})
    overrides = [{"sourceId": source_id, "collection": "pages", "enabled": False}]
    assert api.patch(f"{url}/selective-sync", {"syncOverrides": overrides}).data["status"] == "UPDATED"
    return warehouse_id


def left_of(api: Api) -> list[int]:
    """How many rows each table beside the one of warehouses has."""
    tables = ("warehouse_sources", "sync_exclusions", "sync_schedules", "credential_uses")
    with api.database.transaction(writes=False) as db:
        return [db.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() for table in tables]


class TestNewSources:
    @pytest.mark.parametrize("more", [{}, {"disconnectAllWarehouses": False}])
    def test_a_new_source_is_connected_to_every_warehouse(self, api: Api, more: dict[str, Any]) -> None:
        ids = [new_warehouse(api)["id"] for _ in range(2)]
        body = {"slug": "site", "enabled": True, "metadataId": HTTP_API} | more
        assert connected_warehouses(api, api.post("/sources", body).data["source"]["id"]) == ids

    def test_a_new_source_is_connected_to_none_when_told_so(self, api: Api) -> None:
        new_warehouse(api)
        body = {"slug": "site", "enabled": True, "metadataId": HTTP_API, "disconnectAllWarehouses": True}
        assert connected_warehouses(api, api.post("/sources", body).data["source"]["id"]) == []
