from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.proves import proves
from mainstem.public_api.profiles_warehouses import profiles_warehouses
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.client import Api, Reply
from public_api.connections import trail
from public_api.test_spaces import space_ids

Create = Callable[..., Reply]
POSTGRES, SNOWFLAKE, DB2 = "55d3d3aea3c", "CCIl4HLQPz", "CUy2TYfDp0"
PLACE = {"hostname": "db.shop.example", "port": "5432", "database": "profiles", "username": "mainstem"}
SECRET = "s3cret-of-acme"


@pytest.fixture
def space_id(api: Api) -> str:
    return space_ids(api)["dev"]


@pytest.fixture
def url(space_id: str) -> str:
    return f"/spaces/{space_id}/profiles-warehouses"


@pytest.fixture
def create(api: Api, url: str) -> Create:
    """createProfilesWarehouse for a database of PostgreSQL, unless told otherwise."""

    def post(**more: Any) -> Reply:
        return api.post(url, {"metadataId": POSTGRES, "settings": PLACE | {"password": SECRET}} | more)

    return post


def made(reply: Reply) -> Any:
    return reply.data["profilesWarehouse"]


class TestCreate:
    @proves("createProfilesWarehouse", level=4)
    def test_a_warehouse_has_its_name_among_its_settings_and_keeps_its_password(
        self, api: Api, space_id: str, create: Create
    ) -> None:
        reply = create(name="Profiles", schemaName="profiles_dev", enabled=False)
        assert reply.status == 201
        created = made(reply)
        metadata = created.pop("metadata")
        assert created == {
            "id": created["id"],
            "spaceId": space_id,
            "workspaceId": api.workspace.id,
            "enabled": False,
            "settings": PLACE | {"name": "Profiles", "encrypted": True},
            "schemaName": "profiles_dev",
        }
        assert metadata == api.get(f"/catalog/warehouses/{POSTGRES}").data["warehouseMetadata"]
        assert len(created["id"]) == 22

    def test_a_schema_name_that_was_not_given_is_not_made_up(self, create: Create) -> None:
        created = made(create())
        assert "schemaName" not in created
        assert created["enabled"] is True

    def test_secrets_lie_sealed(self, api: Api, create: Create) -> None:
        create()
        with api.database.transaction(writes=False) as db:
            row = db.execute(profiles_warehouses.select()).one()
        assert SECRET.encode() not in row.settings
        assert SECRET.encode() in api.vault.open(row.settings, row.id)

    def test_the_space_is_spelled_as_the_caller_spells_it(self, api: Api, space_id: str) -> None:
        prefixed = f"/spaces/spa_{space_id}/profiles-warehouses"
        created = made(api.post(prefixed, {"metadataId": POSTGRES, "settings": {}}))
        assert created["spaceId"] == f"spa_{space_id}"
        assert api.get(prefixed).data["profilesWarehouses"] == [created]
        bare = api.get(f"/spaces/{space_id}/profiles-warehouses").data["profilesWarehouses"]
        assert bare == [created | {"spaceId": space_id}]

    def test_a_name_beside_the_settings_wins(self, create: Create) -> None:
        assert made(create(name="A", settings={"name": "B"}))["settings"] == {"name": "A"}
        assert made(create(settings={"name": "B"}))["settings"] == {"name": "B"}
        assert made(create(settings={"name": None}))["settings"] == {}

    def test_missing_fields_are_all_named(self, api: Api, url: str) -> None:
        assert sorted(api.post(url, {}).fields) == ["metadataId", "settings"]

    @pytest.mark.parametrize("metadata_id", ["nothing", "", DB2])
    def test_the_type_must_be_one_that_profiles_go_to(self, create: Create, metadata_id: str) -> None:
        reply = create(metadataId=metadata_id)
        assert (reply.status, reply.fields) == (422, ["metadataId"])

    def test_settings_must_be_of_the_types_of_their_options(self, create: Create) -> None:
        reply = create(settings={"hostname": 1})
        assert (reply.status, reply.fields) == (422, ["settings.hostname"])

    def test_an_unknown_space_is_not_found(self, api: Api) -> None:
        body = {"metadataId": POSTGRES, "settings": {}}
        assert api.post("/spaces/nowhere/profiles-warehouses", body).status == 404

    @proves("createProfilesWarehouse", level=4)
    def test_two_of_the_same_database_need_schemas_of_their_own(self, api: Api, create: Create) -> None:
        assert create().status == 201
        same = create()
        assert (same.status, same.fields) == (409, ["schemaName"])
        assert create(schemaName="dev").status == 409  # the slug of the space, which the first one has by default
        assert create(schemaName="other").status == 201
        assert create(settings=PLACE | {"database": "elsewhere"}).status == 201
        body = {"metadataId": POSTGRES, "settings": PLACE | {"port": 5432, "username": "another"}}
        theirs = f"/spaces/{space_ids(api)['prod']}/profiles-warehouses"
        assert api.post(theirs, body | {"schemaName": "other"}).status == 409
        assert api.post(theirs, body).status == 201


class TestUpdate:
    @proves("updateProfilesWarehouseForSpaceWarehouse", level=4)
    def test_settings_are_merged_and_what_is_not_sent_stays(self, api: Api, url: str, create: Create) -> None:
        created = made(create(name="A", schemaName="a"))
        path = f"{url}/{created['id']}"
        changed = made(api.patch(path, {"settings": {"port": None, "database": "new"}, "enabled": False}))
        settings = {**created["settings"], "database": "new"}
        del settings["port"]
        assert changed == created | {"settings": settings, "enabled": False}
        assert api.get(url).data["profilesWarehouses"] == [changed]

    @pytest.mark.parametrize(
        ("sent", "name"),
        [
            ({"settings": {}}, "A"),
            ({"settings": {"name": None}}, "A"),
            ({"settings": {"name": None}, "name": "B"}, "B"),
            ({"settings": {"name": "C"}, "name": "B"}, "B"),
            ({"settings": {"name": "C"}}, "C"),
            ({"settings": {}, "name": None}, None),
        ],
    )
    def test_the_name_is_found_in_either_place(
        self, api: Api, url: str, create: Create, sent: dict[str, Any], name: str | None
    ) -> None:
        created = made(create(name="A"))
        assert made(api.patch(f"{url}/{created['id']}", sent))["settings"].get("name") == name

    def test_a_schema_can_be_named_and_left_to_the_space_again(self, api: Api, url: str, create: Create) -> None:
        created = made(create())
        path = f"{url}/{created['id']}"
        assert made(api.patch(path, {"settings": {}, "schemaName": "mine"}))["schemaName"] == "mine"
        assert made(api.patch(path, {"settings": {}}))["schemaName"] == "mine"
        assert made(api.patch(path, {"settings": {}, "schemaName": None})) == created

    def test_it_cannot_take_the_schema_of_another(self, api: Api, url: str, create: Create) -> None:
        create(schemaName="taken")
        path = f"{url}/{made(create())['id']}"
        assert api.patch(path, {"settings": {}, "schemaName": "taken"}).fields == ["schemaName"]
        elsewhere = f"{url}/{made(create(schemaName='taken', settings=PLACE | {'database': 'x'}))['id']}"
        assert api.patch(elsewhere, {"settings": {"database": PLACE["database"]}}).status == 409
        assert api.patch(elsewhere, {"settings": {}, "schemaName": "taken"}).status == 200

    def test_what_was_masked_comes_back_unharmed(self, api: Api, url: str, create: Create) -> None:
        settings = {"account": "acme", "privateKey": SECRET}
        created = made(create(metadataId=SNOWFLAKE, settings=settings))
        assert "\u2022" in created["settings"]["privateKey"]
        changed = api.patch(f"{url}/{created['id']}", {"settings": created["settings"]})
        assert made(changed) == created
        with api.database.transaction(writes=False) as db:
            row = db.execute(profiles_warehouses.select()).one()
        assert SECRET.encode() in api.vault.open(row.settings, row.id)

    def test_settings_are_required(self, api: Api, url: str, create: Create) -> None:
        assert api.patch(f"{url}/{made(create())['id']}", {"enabled": False}).fields == ["settings"]


class TestList:
    @proves("listProfilesWarehouseInSpace", level=4)
    def test_warehouses_of_a_space_are_listed_in_pages_in_order_of_creation(
        self, api: Api, url: str, create: Create
    ) -> None:
        listed = [made(create(schemaName=f"s{number}")) for number in range(3)]
        theirs = f"/spaces/{space_ids(api)['prod']}/profiles-warehouses"
        api.post(theirs, {"metadataId": POSTGRES, "settings": {}})
        first = api.get(f"{url}?pagination.count=2&pagination.cursor=MA==").data
        assert first["profilesWarehouses"] == listed[:2]
        rest = api.get(f"{url}?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
        assert rest["profilesWarehouses"] == listed[2:]
        assert "next" not in rest["pagination"]

    @proves("listProfilesWarehouseInSpace", level=4)
    def test_each_look_at_the_list_is_in_the_audit_trail(self, api: Api, space_id: str, url: str) -> None:
        api.get(url)
        (event,) = api.get("/audit-events").data["events"]
        assert event["type"] == "Profiles Sync Warehouse Retrieved"
        assert (event["resourceType"], event["resourceId"], event["resourceName"]) == ("SPACE", space_id, "Dev")


class TestRemove:
    @proves("removeProfilesWarehouseFromSpace", level=4)
    def test_a_removed_warehouse_is_gone_and_its_schema_free(self, api: Api, url: str, create: Create) -> None:
        path = f"{url}/{made(create())['id']}"
        api.patch(f"{path}/selective-syncs", {"syncOverrides": [{"collection": "pages", "enabled": False}]})
        assert api.delete(path).data == {"status": "SUCCESS"}
        assert api.delete(path).status == 404
        assert api.get(url).data["profilesWarehouses"] == []
        assert create().status == 201
        with api.database.transaction(writes=False) as db:
            assert db.exec_driver_sql("SELECT count(*) FROM profiles_sync_exclusions").scalar() == 0

    def test_it_is_not_found_in_another_space(self, api: Api, create: Create) -> None:
        elsewhere = f"/spaces/{space_ids(api)['prod']}/profiles-warehouses/{made(create())['id']}"
        assert [api.patch(elsewhere, {"settings": {}}).status, api.delete(elsewhere).status] == [404, 404]

    def test_every_write_is_in_the_audit_trail(self, api: Api, url: str, create: Create) -> None:
        path = f"{url}/{made(create())['id']}"
        api.patch(path, {"settings": {}})
        api.patch(path, {"settings": {}, "name": "New"})
        api.patch(f"{path}/selective-syncs", {"enableEventTables": False})
        api.delete(path)
        assert trail(api) == [
            f"Profiles Sync Warehouse {each}" for each in ("Created", "Updated", "Modified", "Deleted")
        ]


class TestCredentials:
    def test_a_credential_stays_as_long_as_a_profiles_warehouse_uses_it(
        self, api: Api, url: str, create: Create
    ) -> None:
        body = {"name": "Shared", "settings": {"type": "postgres", "username": "u", "password": SECRET}}
        credential_id = api.post("/credentials", body).data["credential"]["id"]
        path = f"{url}/{made(create(settings={'credentialId': credential_id}))['id']}"
        assert api.delete(f"/credentials/{credential_id}").status == 409
        api.delete(path)
        assert api.delete(f"/credentials/{credential_id}").status == 200

    def test_a_credential_must_exist_and_be_of_the_type(self, api: Api, create: Create) -> None:
        assert create(settings={"credentialId": "nothing"}).fields == ["settings.credentialId"]
        body = {"name": "Other", "settings": {"type": "snowflake", "username": "u", "password": SECRET}}
        credential_id = api.post("/credentials", body).data["credential"]["id"]
        assert create(settings={"credentialId": credential_id}).status == 422


def test_warehouses_are_read_and_written_within_the_spaces_that_roles_name(
    api: Api, url: str, create: Create
) -> None:
    path = f"{url}/{made(create())['id']}"
    dev, prod = (Resource(space_ids(api)[slug], ResourceType.SPACE) for slug in ("dev", "prod"))
    reader = api.member_with("Unify and Engage Read-only", dev)
    assert len(api.get(url, token=reader).data["profilesWarehouses"]) == 1
    assert api.patch(path, {"settings": {}}, token=reader).status == 403
    stranger = api.member_with("Unify and Engage Admin", prod)
    assert [api.get(url, token=stranger).status, api.delete(path, token=stranger).status] == [404, 404]
    assert api.get(url, token=api.member_with("Warehouse Admin")).status == 403
    admin = api.member_with("Unify and Engage Admin", dev)
    assert [api.patch(path, {"settings": {}}, token=admin).status, api.delete(path, token=admin).status] == [200, 200]
