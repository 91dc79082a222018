from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract.proves import proves
from public_api.client import Api
from public_api.connections import HTTP_API, new_source, trail
from public_api.warehousing import SNOWFLAKE, new_credential, new_warehouse

MASK = "\u2022" * 10
SETTINGS = {
    "type": "Snowflake",
    "username": "prod_user",
    "account": "xy12345.us-east-1",
    "warehouse": "COMPUTE_WH",
    "database": "ANALYTICS_DB",
    "authentication": {"type": "keypair", "privateKey": "k3y-of-acme", "privateKeyPassphrase": "phr4se-of-acme"},
}
SHOWN = SETTINGS | {"authentication": {"type": "keypair", "privateKey": MASK, "privateKeyPassphrase": MASK}}


def create(api: Api, **settings: Any) -> dict[str, Any]:
    body = {"name": "Production Snowflake", "settings": SETTINGS | settings}
    credential: dict[str, Any] = api.post("/credentials", body).data["credential"]
    return credential


def kept(api: Api, credential_id: str) -> Any:
    """The settings of a credential, secrets included."""
    with api.database.transaction(writes=False) as db:
        rows = db.exec_driver_sql("SELECT id, settings FROM credentials").all()
    return msgspec.json.decode(api.vault.open(dict(rows)[credential_id], credential_id))  # type: ignore[arg-type]


class TestCreate:
    @proves("createCredential", "getCredential", level=3)
    def test_a_credential_is_answered_with_201_and_comes_back_with_its_secrets_masked(self, api: Api) -> None:
        reply = api.post("/credentials", {"name": "Production", "settings": SETTINGS})
        credential = reply.data["credential"]
        assert reply.status == 201
        assert credential == {
            "id": credential["id"],
            "workspaceId": api.workspace.id,
            "name": "Production",
            "settings": SHOWN,
            "createdAt": "2026-03-10T12:00:00.000Z",
            "updatedAt": "2026-03-10T12:00:00.000Z",
        }
        assert credential["id"].startswith("cred_")
        assert len(credential["id"]) == 32
        assert api.get(f"/credentials/{credential['id']}").data == {"credential": credential}

    @pytest.mark.parametrize(
        "secret",
        [
            {"password": "x"},
            {"token": 7},
            {"whatever": "x"},
            {"authentication": {"x": ["y", {"type": "z", "k": "v"}]}},
        ],
        ids=str,
    )
    def test_what_is_not_known_to_be_no_secret_is_masked(self, api: Api, secret: dict[str, Any]) -> None:
        (name,) = secret
        expected = {"x": [MASK, {"type": "z", "k": MASK}]} if name == "authentication" else MASK
        assert create(api, **secret)["settings"][name] == expected

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, ["name", "settings"]),
            ({"name": "", "settings": {}}, ["name"]),
            ({"name": "x", "settings": {}}, ["settings.type"]),
            ({"name": "x", "settings": {"type": 7}}, ["settings.type"]),
            ({"name": "x", "settings": {"type": "Redshift", "password": MASK}}, ["settings.password"]),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_named(self, api: Api, body: dict[str, Any], fields: list[str]) -> None:
        reply = api.post("/credentials", body)
        assert (reply.status, reply.fields) == (422, fields)

    def test_secrets_lie_sealed_in_their_row(self, api: Api) -> None:
        create(api)
        with api.database.transaction(writes=False) as db:
            (row,) = db.exec_driver_sql("SELECT settings FROM credentials").all()
        assert b"of-acme" not in row[0]

    @pytest.mark.parametrize("version", ["v1beta", "v1alpha"])
    def test_there_are_credentials_in_v1_alone(self, api: Api, version: str) -> None:
        accept = {"accept": f"application/vnd.segment.{version}+json"}
        assert api.get("/credentials", headers=accept).status == 406
        assert api.get("/credentials", headers={"accept": "application/vnd.segment.v1+json"}).status == 200


class TestRead:
    @proves("listCredentials", level=3)
    def test_credentials_come_in_pages_in_order_of_creation(self, api: Api) -> None:
        made = [create(api) for _ in range(3)]
        first = api.get("/credentials?pagination.count=2").data
        last = api.get(f"/credentials?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
        assert first["credentials"] + last["credentials"] == made
        assert "next" not in last["pagination"]

    @pytest.mark.parametrize("route", ["GET", "PATCH", "DELETE"])
    def test_an_unknown_one_is_not_found(self, api: Api, route: str) -> None:
        reply = api.call(f"{route} /credentials/nothing", {} if route == "PATCH" else None)
        assert (reply.status, reply.messages) == (404, ["Credential with id 'nothing' not found."])


class TestUpdate:
    @proves("updateCredential", level=3)
    def test_settings_are_merged_and_null_deletes(self, api: Api) -> None:
        credential = create(api)
        api.pass_time(seconds=1)
        body = {"name": "new", "settings": {"username": "new_user", "database": None}}
        changed = api.patch(f"/credentials/{credential['id']}", body).data["credential"]
        settings = {key: value for key, value in SHOWN.items() if key != "database"} | {"username": "new_user"}
        times = {"updatedAt": "2026-03-10T12:00:01.000Z"}
        assert changed == credential | {"name": "new", "settings": settings} | times
        assert kept(api, credential["id"])["authentication"] == SETTINGS["authentication"]

    def test_masks_that_come_back_keep_the_secrets(self, api: Api) -> None:
        credential = create(api)
        url = f"/credentials/{credential['id']}"
        api.patch(url, {"settings": credential["settings"] | {"username": "other"}})
        assert kept(api, credential["id"]) == SETTINGS | {"username": "other"}
        changed = SHOWN["authentication"] | {"privateKey": "new"}
        api.patch(url, {"settings": {"authentication": changed}})
        assert kept(api, credential["id"])["authentication"] == SETTINGS["authentication"] | {"privateKey": "new"}

    @pytest.mark.parametrize("type", ["Redshift", None])
    def test_the_type_stays(self, api: Api, type: str | None) -> None:
        credential = create(api)
        reply = api.patch(f"/credentials/{credential['id']}", {"settings": {"type": type}})
        assert (reply.status, reply.fields) == (422, ["settings.type"])
        same = api.patch(f"/credentials/{credential['id']}", {"settings": {"type": "Snowflake"}})
        assert same.data["credential"] == credential


class TestDelete:
    @proves("deleteCredential", level=3)
    def test_a_deleted_credential_is_gone(self, api: Api) -> None:
        url = f"/credentials/{create(api)['id']}"
        assert api.delete(url).data == {"status": "SUCCESS"}
        assert [api.get(url).status, api.delete(url).status] == [404, 404]

    def test_one_that_a_disabled_warehouse_uses_stays(self, api: Api) -> None:
        credential = create(api)["id"]
        settings = {"credentialId": credential}
        warehouse = new_warehouse(api, metadataId=SNOWFLAKE, settings=settings, enabled=False)
        reply = api.delete(f"/credentials/{credential}")
        assert reply.status == 409
        assert warehouse["id"] in reply.messages[0]
        api.patch(f"/warehouses/{warehouse['id']}", {"settings": {"credentialId": None}})
        assert api.delete(f"/credentials/{credential}").status == 200

    @pytest.mark.parametrize("leaves", ["DELETE", "PATCH"])
    def test_one_that_a_source_uses_stays(self, api: Api, leaves: str) -> None:
        credential = create(api)["id"]
        body = {"slug": "db", "enabled": False, "metadataId": HTTP_API, "settings": {"credentialId": credential}}
        source = api.post("/sources", body).data["source"]["id"]
        assert api.delete(f"/credentials/{credential}").status == 409
        body = {"settings": {"credentialId": None}} if leaves == "PATCH" else None
        api.call(f"{leaves} /sources/{source}", body)
        assert api.delete(f"/credentials/{credential}").status == 200


class TestConsumers:
    @proves("listCredentialConsumers", level=3)
    def test_warehouses_and_sources_have_pages_of_their_own(self, api: Api) -> None:
        settings = {"credentialId": create(api)["id"]}
        new_source(api, "unrelated"), new_warehouse(api)
        warehouses = [new_warehouse(api, metadataId=SNOWFLAKE, settings=settings) for _ in range(3)]
        body = {"enabled": True, "metadataId": HTTP_API, "settings": settings}
        sources = [api.post("/sources", body | {"slug": slug}).data["source"] for slug in ("one", "two")]
        url = f"/credentials/{settings['credentialId']}/consumers"
        data = api.get(f"{url}?warehousesPagination.count=2&sourcesPagination[count]=1").data
        assert data["warehouses"] == warehouses[:2]
        assert data["sources"] == sources[:1]
        assert (data["warehousesPagination"]["totalEntries"], data["sourcesPagination"]["totalEntries"]) == (3, 2)
        following = data["warehousesPagination"]["next"]
        rest = api.get(f"{url}?warehousesPagination.count=2&warehousesPagination.cursor={following}").data
        assert (rest["warehouses"], rest["sources"]) == (warehouses[2:], sources)

    def test_they_are_those_that_the_caller_may_see(self, api: Api) -> None:
        settings = {"credentialId": create(api)["id"]}
        warehouse = new_warehouse(api, metadataId=SNOWFLAKE, settings=settings)
        body = {"enabled": True, "metadataId": HTTP_API, "settings": settings, "slug": "db"}
        source = api.post("/sources", body).data["source"]
        url = f"/credentials/{settings['credentialId']}/consumers"
        for role, expected in (("Warehouse Admin", [warehouse["id"]]), ("Source Admin", [source["id"]])):
            data = api.get(url, token=api.member_with(role)).data
            assert [each["id"] for each in data["warehouses"] + data["sources"]] == expected


class TestUse:
    @pytest.mark.parametrize("credential", ["cred_nothing", 7])
    def test_a_consumer_names_a_credential_that_exists(self, api: Api, credential: Any) -> None:
        settings = {"credentialId": credential}
        warehouse = api.post("/warehouses", {"metadataId": SNOWFLAKE, "settings": settings})
        body = {"slug": "db", "enabled": True, "metadataId": HTTP_API, "settings": settings}
        for reply in (warehouse, api.post("/sources", body)):
            assert (reply.status, reply.fields) == (422, ["settings.credentialId"])
        assert api.get("/sources").data["sources"] == api.get("/warehouses").data["warehouses"] == []

    def test_a_warehouse_takes_a_credential_of_its_type(self, api: Api) -> None:
        body = {"metadataId": SNOWFLAKE, "settings": {"credentialId": new_credential(api)}}
        assert api.post("/warehouses", body).fields == ["settings.credentialId"]
        body = {"metadataId": SNOWFLAKE, "settings": {"credentialId": new_credential(api, type="snowflake")}}
        assert api.post("/warehouses", body).status == 201


class TestRoles:
    @pytest.mark.parametrize(
        "role", ["Warehouse Admin", "Source Admin", "Entities Admin", "Unify and Engage Admin", "Workspace Owner"]
    )
    def test_several_roles_make_and_read_credentials(self, api: Api, role: str) -> None:
        token, body = api.member_with(role), {"name": "x", "settings": {"type": "Redshift"}}
        made = api.post("/credentials", body, token=token)
        assert made.status == 201
        url = f"/credentials/{made.data['credential']['id']}"
        assert [api.get(each, token=token).status for each in ("/credentials", url, f"{url}/consumers")] == [200] * 3

    @pytest.mark.parametrize(
        ("role", "status"), [("Warehouse Admin", 403), ("Source Admin", 403), ("Workspace Owner", 200)]
    )
    def test_owners_alone_change_and_delete_them(self, api: Api, role: str, status: int) -> None:
        token, url = api.member_with(role), f"/credentials/{create(api)['id']}"
        assert api.patch(url, {"name": "y"}, token=token).status == status
        assert api.delete(url, token=token).status == status

    @pytest.mark.parametrize("role", ["Warehouse Read-only", "Source Read-only", "Function Admin", ""])
    def test_others_do_not_see_them(self, api: Api, role: str) -> None:
        assert api.get("/credentials", token=api.member_with(role)).status == 403


def test_every_change_is_in_the_audit_trail(api: Api) -> None:
    url = f"/credentials/{create(api)['id']}"
    api.patch(url, {"name": "Production Snowflake"})
    api.patch(url, {"name": "other"})
    api.delete(url)
    assert trail(api) == [f"Warehouse Credential {each}" for each in ("Created", "Modified", "Deleted")]
