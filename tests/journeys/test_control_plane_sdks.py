"""Warehouses, credentials, spaces, models, live plugins and people, with Segment's own SDKs.

Every sentence is tried with each SDK that test_public_api_sdks.py knows. The versions of TypeScript and Go that the
registries have are older than live plugins, filters of spaces and credentials: these are tried with the Python SDK
where it is installed, and with plain HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from contract.proves import proves
from journeys.running import RunningServer
from journeys.test_public_api_sdks import COMMANDS, Sdk, make_source, sdk, unique
from mainstem import contract

__all__ = ["sdk"]  # the fixture

pytestmark = pytest.mark.clients

POSTGRES, POSTGRES_SOURCE = "55d3d3aea3c", "WvlvcGEJsT"
SOURCE_ADMIN = "Source Admin"
PAGE = {"count": 200}
PLACE = {"hostname": "db.shop.example", "port": "5432", "database": "events", "username": "mainstem"}


class PlainHttp(Sdk):
    """The operations of the contract by name, without an SDK."""

    def __init__(self, server: RunningServer) -> None:
        self._client = httpx.Client(
            base_url=server.api_url, headers={"Authorization": f"Bearer {server.token}"}, timeout=30
        )

    def _ask(self, operation: str, path: Sequence[str], body: Any, query: Mapping[str, Any]) -> dict[str, Any]:
        asked, values = contract.operations()[operation], iter(path)
        target = re.sub(r"{\w+}", lambda _: next(values), asked.path)
        sent = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in query.items()}
        reply = self._client.request(asked.method, target, json=body, params=sent)
        return {"status": reply.status_code, "decoded": True, "body": reply.json()} | (
            {} if reply.is_success else {"errors": reply.json()["errors"]}
        )

    def close(self) -> None:
        self._client.close()


@pytest.fixture(params=["http", *({"python"} & COMMANDS.keys())])
def newest(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[Sdk]:
    """Each client that has the newest operations."""
    client = PlainHttp(server) if request.param == "http" else Sdk(COMMANDS[request.param](), server)
    try:
        yield client
    finally:
        client.close()


def make_warehouse(sdk: Sdk) -> dict[str, Any]:
    """A warehouse; the TypeScript SDK is too old to say that nothing is to be connected to it."""
    body = {
        "metadataId": POSTGRES,
        "name": unique("store"),
        "settings": {**PLACE, "password": "s3cret"},
        "disconnectAllSources": True,
    }
    warehouse: dict[str, Any] = sdk.call("createWarehouse", body=body)["warehouse"]
    return warehouse


@proves("createWarehouse", "getWarehouse", "listWarehouses", "updateWarehouse", "deleteWarehouse", level=2)
def test_a_warehouse_is_created_listed_changed_and_deleted(sdk: Sdk) -> None:
    made = make_warehouse(sdk)
    assert made["metadata"]["id"] == POSTGRES
    assert {name: made["settings"][name] for name in PLACE} == PLACE
    assert "s3cret" not in str(made)
    assert sdk.call("getWarehouse", made["id"])["warehouse"] == made
    assert made in [each for page in sdk.pages("listWarehouses", "warehouses", count=2) for each in page]
    change = {"name": "Moved", "settings": {"hostname": "other.example"}}
    changed = sdk.call("updateWarehouse", made["id"], body=change)["warehouse"]["settings"]
    assert (changed["name"], changed["hostname"], changed["database"]) == ("Moved", "other.example", "events")
    assert sdk.call("deleteWarehouse", made["id"])["status"] == "SUCCESS"
    assert sdk.refusal("getWarehouse", made["id"])["status"] == 404


@proves("addConnectionFromSourceToWarehouse", "removeSourceConnectionFromWarehouse", level=2)
@proves("listConnectedSourcesFromWarehouse", "listConnectedWarehousesFromSource", level=2)
def test_a_source_is_connected_to_a_warehouse_and_disconnected(sdk: Sdk) -> None:
    source, warehouse = make_source(sdk), make_warehouse(sdk)
    for _ in range(2):
        added = sdk.call("addConnectionFromSourceToWarehouse", warehouse["id"], source["id"])
        assert added["status"] == "CONNECTED"
    connected = sdk.call("listConnectedSourcesFromWarehouse", warehouse["id"], pagination=PAGE)["sources"]
    assert source["id"] in [each["id"] for each in connected]
    warehouses = sdk.call("listConnectedWarehousesFromSource", source["id"], pagination=PAGE)["warehouses"]
    assert warehouse["id"] in [each["id"] for each in warehouses]
    gone = sdk.call("removeSourceConnectionFromWarehouse", warehouse["id"], source["id"])
    assert gone["status"] == "SUCCESS"
    connected = sdk.call("listConnectedSourcesFromWarehouse", warehouse["id"], pagination=PAGE)["sources"]
    assert source["id"] not in [each["id"] for each in connected]


@proves("createValidationInWarehouse", "getConnectionStateFromWarehouse", level=2)
def test_a_warehouse_that_cannot_be_reached_is_failed(sdk: Sdk) -> None:
    settings = {**PLACE, "hostname": "127.0.0.1", "port": "1", "password": "s3cret"}
    body = {"metadataId": POSTGRES, "settings": settings}
    assert sdk.call("createValidationInWarehouse", body=body)["status"] == "FAILED"
    warehouse = make_warehouse(sdk)
    sdk.call("updateWarehouse", warehouse["id"], body={"settings": settings})
    assert sdk.call("getConnectionStateFromWarehouse", warehouse["id"])["connectionState"] == "FAILED"


@proves("getAdvancedSyncScheduleFromWarehouse", "replaceAdvancedSyncScheduleForWarehouse", level=2)
@proves("updateSelectiveSyncForWarehouse", "listSelectiveSyncsFromWarehouseAndSource", level=2)
@proves("listSyncsFromWarehouse", "listSyncsFromWarehouseAndSource", level=2)
def test_when_and_what_a_warehouse_syncs_is_kept(sdk: Sdk) -> None:
    source, warehouse = make_source(sdk), make_warehouse(sdk)
    sdk.call("addConnectionFromSourceToWarehouse", warehouse["id"], source["id"])
    schedule = {"times": [{"hourOfDay": 7, "enabled": True}], "timezone": "America/Vancouver"}
    body = {"enabled": True, "schedule": schedule}
    replaced = sdk.call("replaceAdvancedSyncScheduleForWarehouse", warehouse["id"], body=body)
    shown = sdk.call("getAdvancedSyncScheduleFromWarehouse", warehouse["id"])
    assert replaced == shown
    assert shown["schedule"] == schedule
    override = {"sourceId": source["id"], "collection": "pages", "enabled": False}
    changed = sdk.call("updateSelectiveSyncForWarehouse", warehouse["id"], body={"syncOverrides": [override]})
    assert changed["status"] in ("UPDATED", "UNCHANGED")
    ids = warehouse["id"], source["id"]
    sdk.call("listSelectiveSyncsFromWarehouseAndSource", *ids, pagination=PAGE)
    assert sdk.call("listSyncsFromWarehouse", warehouse["id"], pagination=PAGE)["reports"] == []
    assert sdk.call("listSyncsFromWarehouseAndSource", *ids, pagination=PAGE)["reports"] == []


@proves("createSource", level=2)
@proves("createReverseEtlModel", "getReverseEtlModel", "listReverseEtlModels", level=2)
@proves("updateReverseEtlModel", "deleteReverseEtlModel", level=2)
def test_a_reverse_etl_model_is_created_listed_changed_and_deleted(sdk: Sdk) -> None:
    source = make_source(sdk, "rows", POSTGRES_SOURCE)
    body = {
        "sourceId": source["id"],
        "name": "People",
        "description": " ",
        "enabled": True,
        "query": "SELECT id FROM people",
        "queryIdentifierColumn": "id",
    }
    made = sdk.call("createReverseEtlModel", body=body)["reverseEtlModel"]
    assert {name: made[name] for name in body} == body
    assert sdk.call("getReverseEtlModel", made["id"])["reverseEtlModel"] == made
    assert made in sdk.call("listReverseEtlModels", pagination=PAGE)["models"]
    changed = sdk.call("updateReverseEtlModel", made["id"], body={"name": "Customers"})["reverseEtlModel"]
    assert changed == {**made, "name": "Customers"}
    assert sdk.call("deleteReverseEtlModel", made["id"])["status"] == "SUCCESS"
    assert sdk.refusal("getReverseEtlModel", made["id"])["status"] == 404


@proves("createLivePlugin", "getLatestFromLivePlugins", "deleteLivePluginCode", level=2)
def test_a_live_plugin_is_fetched_where_the_api_says(newest: Sdk, server: RunningServer) -> None:
    source = make_source(newest)
    code = "const version = 1;"
    made = newest.call("createLivePlugin", source["id"], body={"code": code})["livePlugin"]
    latest = newest.call("getLatestFromLivePlugins", source["id"])["livePlugin"]
    assert latest["version"] == made["version"]
    assert httpx.get(f"{server.tracking_url}/live-plugins/{source['id']}.js").text == code
    again = newest.call("createLivePlugin", source["id"], body={"code": "const version = 2;"})["livePlugin"]
    assert again["version"] > made["version"]
    assert newest.call("deleteLivePluginCode", source["id"])["status"] == "SUCCESS"


def first_space(sdk: Sdk) -> dict[str, Any]:
    """One of the spaces that every workspace has."""
    space: dict[str, Any] = sdk.call("listSpaces", pagination=PAGE)["spaces"][0]
    return space


@proves("listSpaces", "getSpace", level=2)
@proves(
    "createFilterForSpace", "getFilterById", "listFiltersForSpace", "updateFilterById", "deleteFilterById", level=2
)
def test_a_filter_of_a_space_is_created_listed_replaced_and_deleted(newest: Sdk) -> None:
    space = first_space(newest)
    assert newest.call("getSpace", space["id"])["space"] == space
    body = {"integrationId": space["id"], "name": "No pings", "if": 'event = "Ping"', "description": "noise"}
    made = newest.call("createFilterForSpace", body=body)["filter"]
    assert made["if"] == body["if"]
    assert newest.call("getFilterById", made["id"])["filter"] == made
    listed = newest.call("listFiltersForSpace", integrationId=space["id"], pagination={"count": 10})["filters"]
    assert made in listed
    change = {"integrationId": space["id"], "name": "No pongs", "if": 'event = "Pong"'}
    changed = newest.call("updateFilterById", made["id"], body=change)["filter"]
    assert (changed["name"], changed.get("description")) == ("No pongs", None)
    assert newest.call("deleteFilterById", made["id"])["deleted"] is True


@proves("createProfilesWarehouse", "listProfilesWarehouseInSpace", level=2)
@proves("updateProfilesWarehouseForSpaceWarehouse", "removeProfilesWarehouseFromSpace", level=2)
@proves("listSelectiveSyncsFromWarehouseAndSpace", "updateSelectiveSyncForWarehouseAndSpace", level=2)
def test_profiles_have_a_warehouse_of_their_own(sdk: Sdk) -> None:
    space = first_space(sdk)["id"]
    settings = {**PLACE, "database": unique("profiles"), "password": "s3cret"}
    body = {"metadataId": POSTGRES, "name": "Profiles", "settings": settings, "enabled": True}
    made = sdk.call("createProfilesWarehouse", space, body=body)["profilesWarehouse"]
    assert (made["spaceId"], made["settings"]["name"]) == (space, "Profiles")
    assert "s3cret" not in str(made)
    listed = sdk.call("listProfilesWarehouseInSpace", space, pagination=PAGE)["profilesWarehouses"]
    assert made["id"] in [each["id"] for each in listed]
    ids = space, made["id"]
    change = {"settings": {}, "enabled": False}
    changed = sdk.call("updateProfilesWarehouseForSpaceWarehouse", *ids, body=change)["profilesWarehouse"]
    assert changed["enabled"] is False
    override = {"collection": "user_traits", "enabled": False}
    sdk.call("updateSelectiveSyncForWarehouseAndSpace", *ids, body={"syncOverrides": [override]})
    sdk.call("listSelectiveSyncsFromWarehouseAndSpace", *ids, pagination=PAGE)
    assert sdk.call("removeProfilesWarehouseFromSpace", *ids)["status"] == "SUCCESS"


def a_permission(sdk: Sdk, role: str = SOURCE_ADMIN) -> dict[str, Any]:
    """A role on the whole workspace."""
    (found,) = [each for each in sdk.call("listRoles", pagination=PAGE)["roles"] if each["name"] == role]
    workspace = sdk.call("getWorkspace")["workspace"]["id"]
    return {"roleId": found["id"], "resources": [{"id": workspace, "type": "WORKSPACE"}]}


@proves("listRoles", "createInvites", "listInvites", "deleteInvites", level=2)
def test_people_are_invited_and_invites_are_taken_back(sdk: Sdk) -> None:
    email = f"{unique('new')}@example.com"
    body = {"invites": [{"email": email, "permissions": [a_permission(sdk)]}]}
    assert sdk.call("createInvites", body=body)["emails"] == [email]
    assert email in sdk.call("listInvites", pagination=PAGE)["invites"]
    assert sdk.call("deleteInvites", emails=[email])["status"] == "SUCCESS"
    assert email not in sdk.call("listInvites", pagination=PAGE)["invites"]


@proves("listUsers", "getUser", "deleteUsers", "addPermissionsToUser", "replacePermissionsForUser", level=2)
@proves("listUserGroupsFromUser", level=2)
def test_what_the_only_owner_is_cannot_be_taken_away(sdk: Sdk) -> None:
    owner = sdk.call("listUsers", pagination=PAGE)["users"][0]
    assert sdk.call("getUser", owner["id"])["user"] == owner
    added = sdk.call("addPermissionsToUser", owner["id"], body={"permissions": [a_permission(sdk)]})
    assert {SOURCE_ADMIN, "Workspace Owner"} <= {each["roleName"] for each in added["permissions"]}
    refused = sdk.refusal("replacePermissionsForUser", owner["id"], body={"permissions": [a_permission(sdk)]})
    assert refused["status"] == 409
    assert sdk.refusal("deleteUsers", userIds=[owner["id"]])["status"] == 409
    whole = {"permissions": [a_permission(sdk, "Workspace Owner")]}
    assert len(sdk.call("replacePermissionsForUser", owner["id"], body=whole)["permissions"]) == 1
    sdk.call("listUserGroupsFromUser", owner["id"], pagination=PAGE)


@proves("createUserGroup", "getUserGroup", "listUserGroups", "updateUserGroup", "deleteUserGroup", level=2)
@proves("addPermissionsToUserGroup", "replacePermissionsForUserGroup", "addUsersToUserGroup", level=2)
@proves("replaceUsersInUserGroup", "removeUsersFromUserGroup", "listUsersFromUserGroup", level=2)
@proves("listInvitesFromUserGroup", level=2)
def test_a_group_has_permissions_and_members(sdk: Sdk) -> None:
    email = f"{unique('member')}@example.com"
    sdk.call("createInvites", body={"invites": [{"email": email}]})
    group = sdk.call("createUserGroup", body={"name": unique("team")})["userGroup"]
    assert group["memberCount"] == 0
    permission = a_permission(sdk)
    added = sdk.call("addPermissionsToUserGroup", group["id"], body={"permissions": [permission]})["permissions"]
    assert [each["roleId"] for each in added] == [permission["roleId"]]
    assert sdk.call("addUsersToUserGroup", group["id"], body={"emails": [email]})["userGroup"]["memberCount"] == 1
    assert sdk.call("listInvitesFromUserGroup", group["id"], pagination=PAGE)["emails"] == [email]
    assert sdk.call("listUsersFromUserGroup", group["id"], pagination=PAGE)["users"] == []
    assert sdk.call("removeUsersFromUserGroup", group["id"], emails=[email])["status"] == "SUCCESS"
    replaced = sdk.call("replaceUsersInUserGroup", group["id"], body={"emails": [email]})["userGroup"]
    assert replaced["memberCount"] == 1
    renamed = sdk.call("updateUserGroup", group["id"], body={"name": "Other"})["userGroup"]
    assert sdk.call("getUserGroup", group["id"])["userGroup"]["name"] == renamed["name"] == "Other"
    assert group["id"] in [each["id"] for each in sdk.call("listUserGroups", pagination=PAGE)["userGroups"]]
    cleared = sdk.call("replacePermissionsForUserGroup", group["id"], body={"permissions": []})["permissions"]
    assert cleared == []
    assert sdk.call("deleteUserGroup", group["id"])["status"] == "SUCCESS"
    sdk.call("deleteInvites", emails=[email])


@proves("createCredential", "getCredential", "listCredentials", "updateCredential", "deleteCredential", level=2)
@proves("listCredentialConsumers", level=2)
def test_a_credential_is_kept_and_not_deleted_while_it_is_used(newest: Sdk) -> None:
    body = {"name": "Production", "settings": {"type": "Postgres", "username": "prod", "password": "s3cret"}}
    made = newest.call("createCredential", body=body)["credential"]
    assert "s3cret" not in str(made)
    assert newest.call("getCredential", made["id"])["credential"]["id"] == made["id"]
    assert made["id"] in [each["id"] for each in newest.call("listCredentials", pagination=PAGE)["credentials"]]
    warehouse = make_warehouse(newest)
    newest.call("updateWarehouse", warehouse["id"], body={"settings": {"credentialId": made["id"]}})
    pages = {"warehousesPagination": PAGE, "sourcesPagination": PAGE}
    consumers = newest.call("listCredentialConsumers", made["id"], **pages)
    assert [each["id"] for each in consumers["warehouses"]] == [warehouse["id"]]
    assert newest.refusal("deleteCredential", made["id"])["status"] == 409
    assert newest.call("updateCredential", made["id"], body={"name": "Other"})["credential"]["name"] == "Other"
    newest.call("deleteWarehouse", warehouse["id"])
    assert newest.call("deleteCredential", made["id"])["status"] == "SUCCESS"
