"""Users: what they may do, and how they leave."""

from __future__ import annotations

import pytest

from contract.proves import proves
from mainstem.rest.permissions import ResourceType
from public_api.client import Api
from public_api.connections import new_source, trail
from public_api.iam.people import (
    invite,
    new_group,
    new_user,
    on,
    on_workspace,
    owner_id,
    permission,
    role,
    token_of,
)
from public_api.warehousing import new_warehouse


@proves("listUsers", "getUser", level=3)
def test_a_workspace_starts_with_its_owner(api: Api) -> None:
    (owner,) = api.get("/users").data["users"]
    everything = {"id": api.workspace.id, "type": "WORKSPACE", "labels": []}
    owning = {"roleId": role("Workspace Owner").id, "roleName": "Workspace Owner", "resources": [everything]}
    assert owner == {"id": owner["id"], "name": "Owner", "email": "owner@localhost", "permissions": [owning]}
    assert api.get(f"/users/{owner['id']}").data == {"user": owner}


def test_users_come_in_pages_of_which_the_last_has_no_next(api: Api) -> None:
    for name in "abc":
        new_user(api, f"{name}@x.example")
    first = api.get("/users?pagination.count=3").data
    rest = api.get(f"/users?pagination.count=3&pagination.cursor={first['pagination']['next']}").data
    emails = [each["email"] for each in first["users"] + rest["users"]]
    assert emails == ["owner@localhost", "a@x.example", "b@x.example", "c@x.example"]
    assert "next" not in rest["pagination"]


@proves("replacePermissionsForUser", "addPermissionsToUser", level=3)
def test_permissions_are_replaced_and_added_and_come_back_as_they_were_sent(api: Api) -> None:
    one, two = new_source(api, "one"), new_source(api, "two")
    user_id = new_user(api, "ann@x.example", permission(api, "Workspace Member"))
    on_prod = on_workspace(api, ("environment", "prod"))
    wanted = [
        permission(api, "Source Admin", on(ResourceType.SOURCE, two), on(ResourceType.SOURCE, one)),
        permission(api, "Source Read-only", on_prod),
    ]
    replaced = api.put(f"/users/{user_id}/permissions", {"permissions": wanted}).data["permissions"]
    assert [each["roleId"] for each in replaced] == [each["roleId"] for each in wanted]
    assert [each["id"] for each in replaced[0]["resources"]] == [two, one]
    assert replaced[1]["resources"] == [on_prod]
    more = [permission(api, "Function Read-only")]
    added = api.post(f"/users/{user_id}/permissions", {"permissions": more}).data["permissions"]
    assert added[:2] == replaced
    assert added[2]["roleName"] == "Function Read-only"
    assert api.get(f"/users/{user_id}").data["user"]["permissions"] == added


def test_what_is_added_twice_is_granted_once_and_more_of_a_role_goes_to_its_policy(api: Api) -> None:
    one, two = (on(ResourceType.SOURCE, new_source(api, slug)) for slug in ("one", "two"))
    user_id = new_user(api, "ann@x.example", permission(api, "Source Admin", one))
    path = f"/users/{user_id}/permissions"
    twice = {"permissions": [permission(api, "Source Admin", one), permission(api, "Source Admin", one)]}
    assert len(api.post(path, twice).data["permissions"][0]["resources"]) == 1
    (kept,) = api.post(path, {"permissions": [permission(api, "Source Admin", one, two)]}).data["permissions"]
    assert [each["id"] for each in kept["resources"]] == [one["id"], two["id"]]
    assert trail(api)[-1] == "User Policy Updated"


def test_replacing_permissions_by_the_same_in_another_order_changes_nothing(api: Api) -> None:
    api.post("/labels", {"label": {"key": "product", "value": "truck"}})
    labels = ("environment", "prod"), ("product", "truck")
    user_id = new_user(api, "ann@x.example", permission(api, "Workspace Member"))
    path = f"/users/{user_id}/permissions"
    api.put(path, {"permissions": [permission(api, "Source Admin", on_workspace(api, *labels))]})
    recorded = trail(api)
    turned = permission(api, "Source Admin", on_workspace(api, *reversed(labels)))
    (after,) = api.put(path, {"permissions": [turned]}).data["permissions"]
    assert after["resources"] == turned["resources"]
    assert trail(api) == recorded


def test_all_permissions_can_be_taken(api: Api) -> None:
    user_id = new_user(api, "ann@x.example", permission(api, "Source Admin"))
    assert api.put(f"/users/{user_id}/permissions", {"permissions": []}).data == {"permissions": []}
    assert api.get("/sources", token=token_of(api, user_id)).status == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"roleId": "unknown"}, "permissions[0].roleId"),
        ({"resources": []}, "permissions[0].resources"),
        ({"resources": [{"id": "x", "type": "DESTINATION"}]}, "permissions[0].resources[0].type"),
        ({"resources": [{"id": "x", "type": "FUNCTION"}]}, "permissions[0].resources[0].type"),
        ({"resources": [{"id": "x", "type": "SOURCE"}]}, "permissions[0].resources[0].id"),
        ({"resources": [{"id": "x", "type": "WORKSPACE"}]}, "permissions[0].resources[0].id"),
    ],
)
def test_what_cannot_be_granted_is_refused_naming_the_field(api: Api, change: dict[str, object], field: str) -> None:
    user_id = new_user(api, "ann@x.example")
    sent = permission(api, "Source Admin") | change
    reply = api.put(f"/users/{user_id}/permissions", {"permissions": [sent]})
    assert (reply.status, reply.fields) == (422, [field])


@pytest.mark.parametrize("kind", ["SOURCE", "SPACE", "WAREHOUSE", "FUNCTION"])
def test_a_role_is_granted_on_what_the_workspace_has_and_on_nothing_else(api: Api, kind: str) -> None:
    names = {"SPACE": "Unify and Engage Admin", "WAREHOUSE": "Warehouse Admin", "FUNCTION": "Function Admin"}
    user_id = new_user(api, "ann@x.example")
    sent = permission(api, names.get(kind, "Source Admin"), {"id": "elsewhere", "type": kind})
    reply = api.post(f"/users/{user_id}/permissions", {"permissions": [sent]})
    assert (reply.status, reply.fields) == (422, ["permissions[0].resources[0].id"])


def test_a_space_can_be_granted(api: Api) -> None:
    space = on(ResourceType.SPACE, api.get("/spaces").data["spaces"][0]["id"])
    user_id = new_user(api, "ann@x.example", permission(api, "Unify and Engage Admin", space))
    assert len(api.get("/spaces", token=token_of(api, user_id)).data["spaces"]) == 1


def test_labels_narrow_only_a_grant_on_the_workspace_of_a_role_that_takes_them(api: Api) -> None:
    """A49"""
    source = on(ResourceType.SOURCE, new_source(api))
    user_id = new_user(api, "ann@x.example")
    label = {"key": "environment", "value": "prod"}
    sent = [
        permission(api, "Source Admin", source | {"labels": [label]}),
        permission(api, "Function Admin", on_workspace(api, ("environment", "prod"))),
        permission(api, "Source Admin", on_workspace(api, ("environment", "prod"), ("environment", "stage"))),
    ]
    reply = api.put(f"/users/{user_id}/permissions", {"permissions": sent})
    assert reply.status == 422
    assert reply.fields == [
        "permissions[0].resources[0].labels",
        "permissions[1].resources[0].labels",
        "permissions[2].resources[0].labels[1]",
    ]


def test_a_user_s_own_grants_and_those_of_the_groups_add_up(api: Api) -> None:
    """A47"""
    prod, dev = new_source(api, "prod"), new_source(api, "dev")
    api.put(f"/sources/{prod}/labels", {"labels": [{"key": "environment", "value": "prod"}]})
    admin = permission(api, "Source Admin", on_workspace(api, ("environment", "prod")))
    user_id = new_user(api, "ann@x.example", admin)
    token = token_of(api, user_id)
    assert [each["id"] for each in api.get("/sources", token=token).data["sources"]] == [prod]
    group_id = new_group(api, permission(api, "Source Read-only"))
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    assert [each["id"] for each in api.get("/sources", token=token).data["sources"]] == [prod, dev]
    assert api.patch(f"/sources/{prod}", {"name": "P"}, token=token).status == 200
    assert api.patch(f"/sources/{dev}", {"name": "D"}, token=token).status == 403
    api.delete(f"/group/{group_id}/users?emails.0=ann@x.example")
    assert api.get(f"/sources/{dev}", token=token).status == 404


def test_an_owner_by_a_group_may_do_all(api: Api) -> None:
    user_id = new_user(api, "ann@x.example")
    assert api.get("/users", token=token_of(api, user_id)).status == 403
    group_id = new_group(api, permission(api, "Workspace Owner"))
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    assert api.get("/users", token=token_of(api, user_id)).status == 200


@proves("deleteUsers", level=3)
@pytest.mark.parametrize(
    "encoding", ["userIds={}&userIds={}", "userIds[0]={}&userIds[1]={}", "userIds.0={}&userIds.1={}"]
)
def test_users_are_removed_in_every_client_s_encoding(api: Api, encoding: str) -> None:
    """A15"""
    ids = [new_user(api, f"{name}@x.example") for name in "ab"]
    assert api.delete(f"/users?{encoding.format(*ids)}").data == {"status": "SUCCESS"}
    assert [each["email"] for each in api.get("/users").data["users"]] == ["owner@localhost"]


def test_removing_a_blank_id_removes_nobody(api: Api) -> None:
    """A14: what the Terraform provider sends beside each invite that it deletes."""
    new_user(api, "ann@x.example")
    assert api.delete("/users?userIds.0=").data == {"status": "SUCCESS"}
    assert len(api.get("/users").data["users"]) == 2


def test_a_removed_user_loses_tokens_grants_and_groups_for_good(api: Api) -> None:
    group_id = new_group(api, permission(api, "Source Read-only"))
    user_id = new_user(api, "ann@x.example", permission(api, "Source Admin"))
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    token = token_of(api, user_id)
    assert api.get("/sources", token=token).status == 200
    assert api.delete(f"/users?userIds.0={user_id}").status == 200
    assert trail(api)[-3:] == ["Group Memberships Deleted", "Access Token Revoked", "User Removed"]
    assert api.get("/sources", token=token).status == 401
    assert api.get(f"/users/{user_id}").status == 404
    assert api.get(f"/groups/{group_id}").data["userGroup"]["memberCount"] == 0
    again = new_user(api, "ann@x.example")
    assert api.get(f"/users/{again}").data["user"]["permissions"] == []
    assert api.get(f"/users/{again}/groups").data["groups"] == []


def test_the_last_owner_can_be_neither_removed_nor_demoted(api: Api) -> None:
    """A50"""
    owner = owner_id(api)
    invite(api, "invited@x.example", permission(api, "Workspace Owner"))
    for reply in (
        api.delete(f"/users?userIds.0={owner}"),
        api.put(f"/users/{owner}/permissions", {"permissions": [permission(api, "Source Admin")]}),
        api.put(f"/users/{owner}/permissions", {"permissions": []}),
    ):
        assert reply.status == 409
    assert len(api.get(f"/users/{owner}").data["user"]["permissions"]) == 1
    new_user(api, "ann@x.example", permission(api, "Workspace Owner"))
    assert api.delete(f"/users?userIds.0={owner}").status == 200


def test_an_owner_by_a_group_is_the_last_owner_too(api: Api) -> None:
    group_id = new_group(api, permission(api, "Workspace Owner"))
    new_user(api, "ann@x.example")
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    assert api.delete(f"/users?userIds.0={owner_id(api)}").status == 200
    for reply in (
        api.delete(f"/groups/{group_id}"),
        api.put(f"/groups/{group_id}/permissions", {"permissions": []}),
        api.put(f"/group/{group_id}/users", {"emails": []}),
        api.delete(f"/group/{group_id}/users?emails.0=ann@x.example"),
    ):
        assert reply.status == 409
    assert api.get(f"/groups/{group_id}").data["userGroup"]["memberCount"] == 1


def test_iam_is_for_owners_reading_too(api: Api) -> None:
    """A46"""
    user_id, group_id = new_user(api, "ann@x.example"), new_group(api)
    admin = api.member_with("Source Admin")
    for route in (
        "GET /users",
        f"GET /users/{user_id}",
        f"GET /users/{user_id}/groups",
        "GET /invites",
        "GET /groups",
        f"GET /groups/{group_id}",
        f"GET /groups/{group_id}/users",
        f"GET /groups/{group_id}/invites",
        f"DELETE /groups/{group_id}",
        f"DELETE /users?userIds.0={user_id}",
        "DELETE /invites?emails.0=x@x.example",
        f"DELETE /group/{group_id}/users?emails.0=x@x.example",
    ):
        assert api.call(route, token=admin).status == 403, route
    assert api.post("/invites", {"invites": []}, token=admin).status == 403


@proves("listUserGroupsFromUser", level=3)
def test_the_groups_of_a_user_are_listed(api: Api) -> None:
    user_id = new_user(api, "ann@x.example")
    groups = [new_group(api, name=name) for name in ("A", "B", "C")]
    for group_id in groups[:2]:
        api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    listed = api.get(f"/users/{user_id}/groups").data["groups"]
    assert listed == [{"id": groups[0], "name": "A"}, {"id": groups[1], "name": "B"}]
    assert api.get("/users/nobody/groups").status == 404


def test_what_is_deleted_takes_the_grants_on_it_along(api: Api) -> None:
    source_id = new_source(api)
    body = {"displayName": "F", "code": "async function onTrack(event) {}", "settings": []}
    function = api.post("/functions", body | {"resourceType": "DESTINATION"}).data["function"]
    on_source = permission(api, "Source Admin", on(ResourceType.SOURCE, source_id))
    on_function = permission(api, "Function Admin", on(ResourceType.FUNCTION, function["id"]))
    warehouse_id = new_warehouse(api)["id"]
    on_warehouse = permission(api, "Warehouse Admin", on(ResourceType.WAREHOUSE, warehouse_id))
    user_id = new_user(api, "ann@x.example", on_source, on_function, on_warehouse)
    assert api.delete(f"/warehouses/{warehouse_id}").status == 200
    assert api.delete(f"/sources/{source_id}").status == 200
    assert api.delete(f"/functions/{function['id']}").status == 200
    assert api.get(f"/users/{user_id}").data["user"]["permissions"] == []


def test_a_label_that_narrows_a_permission_cannot_be_deleted(api: Api) -> None:
    narrowed = permission(api, "Source Admin", on_workspace(api, ("environment", "dev")))
    user_id = new_user(api, "ann@x.example", narrowed)
    assert api.delete("/labels/environment/dev").status == 409
    assert api.delete("/labels/environment/prod").status == 200
    api.put(f"/users/{user_id}/permissions", {"permissions": []})
    assert api.delete("/labels/environment/dev").status == 200
