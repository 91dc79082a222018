"""User groups and their members."""

from __future__ import annotations

from contract.proves import proves
from public_api.client import Api
from public_api.connections import trail
from public_api.iam.people import accept, invite, new_group, new_user, on_workspace, permission


@proves("createUserGroup", "getUserGroup", "listUserGroups", "updateUserGroup", "deleteUserGroup", level=3)
def test_a_group_is_made_empty_renamed_and_deleted(api: Api) -> None:
    reply = api.post("/groups", {"name": "Team"})
    group = reply.data["userGroup"]
    assert (reply.status, group) == (200, {"id": group["id"], "name": "Team", "memberCount": 0, "permissions": []})
    assert api.patch(f"/groups/{group['id']}", {"name": "Crew"}).data["userGroup"]["name"] == "Crew"
    assert api.get(f"/groups/{group['id']}").data == {"userGroup": group | {"name": "Crew"}}
    assert api.get("/groups").data["userGroups"] == [group | {"name": "Crew"}]
    assert api.delete(f"/groups/{group['id']}").data == {"status": "SUCCESS"}
    assert api.delete(f"/groups/{group['id']}").status == 404
    assert trail(api) == ["User Group Created", "User Group Updated", "User Group Deleted"]


def test_a_group_has_a_name(api: Api) -> None:
    assert (api.post("/groups", {"name": ""}).fields, api.post("/groups", {}).fields) == (["name"], ["name"])


@proves("replacePermissionsForUserGroup", "addPermissionsToUserGroup", level=3)
def test_permissions_of_a_group_are_replaced_added_and_cleared(api: Api) -> None:
    group_id = new_group(api)
    path = f"/groups/{group_id}/permissions"
    on_dev = on_workspace(api, ("environment", "dev"))
    replaced = api.put(path, {"permissions": [permission(api, "Source Admin", on_dev)]}).data["permissions"]
    assert replaced[0]["resources"] == [on_dev]
    added = api.post(path, {"permissions": [permission(api, "Function Admin")]}).data["permissions"]
    assert added[0] == replaced[0]
    assert api.get(f"/groups/{group_id}").data["userGroup"]["permissions"] == added
    api.post(path, {"permissions": [permission(api, "Source Admin")]})
    assert api.put(path, {"permissions": []}).data == {"permissions": []}
    policies = ["Policy Created", "Policy Created", "User Group Policy Updated", "Policy Deleted", "Policy Deleted"]
    assert trail(api)[-5:] == policies


@proves("addUsersToUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup", level=3)
def test_members_are_users_and_invited_people(api: Api) -> None:
    group_id, user_id = new_group(api), new_user(api, "ann@x.example")
    invite(api, "bob@x.example")
    body = {"emails": ["Ann@x.example", "bob@x.example", "bob@x.example"]}
    assert api.post(f"/groups/{group_id}/users", body).data["userGroup"]["memberCount"] == 2
    assert api.post(f"/groups/{group_id}/users", body).data["userGroup"]["memberCount"] == 2
    users = api.get(f"/groups/{group_id}/users").data
    assert users["users"] == [{"id": user_id, "name": "ann", "email": "ann@x.example"}]
    assert "next" not in users["pagination"]
    assert api.get(f"/groups/{group_id}/invites").data["emails"] == ["bob@x.example"]
    accept(api, "bob@x.example")
    assert len(api.get(f"/groups/{group_id}/users").data["users"]) == 2


@proves("replaceUsersInUserGroup", "removeUsersFromUserGroup", level=3)
def test_members_are_replaced_removed_and_cleared(api: Api) -> None:
    """A52"""
    group_id = new_group(api)
    for name in "abc":
        new_user(api, f"{name}@x.example")
    invite(api, "d@x.example")
    path = f"/group/{group_id}/users"
    api.put(path, {"emails": ["a@x.example", "d@x.example"]})
    replaced = api.put(path, {"emails": ["b@x.example", "c@x.example", "d@x.example"]})
    assert replaced.data["userGroup"]["memberCount"] == 3
    emails = [each["email"] for each in api.get(f"/groups/{group_id}/users").data["users"]]
    assert emails == ["b@x.example", "c@x.example"]
    gone = "emails.0=B@x.example&emails.1=d@x.example&emails.2=nobody@x.example"
    assert api.delete(f"{path}?{gone}").data == {"status": "SUCCESS"}
    assert api.get(f"/groups/{group_id}").data["userGroup"]["memberCount"] == 1
    assert api.put(path, {"emails": []}).data["userGroup"]["memberCount"] == 0


def test_an_unknown_address_is_refused_and_nobody_joins(api: Api) -> None:
    group_id = new_group(api)
    new_user(api, "ann@x.example")
    for reply in (
        api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example", "eve@x.example"]}),
        api.put(f"/group/{group_id}/users", {"emails": ["ann@x.example", "eve@x.example"]}),
    ):
        assert (reply.status, reply.fields) == (422, ["emails[1]"])
    assert api.get(f"/groups/{group_id}").data["userGroup"]["memberCount"] == 0


def test_joining_and_leaving_is_in_the_audit_trail_once_for_each(api: Api) -> None:
    group_id = new_group(api)
    new_user(api, "ann@x.example")
    before = len(trail(api))
    for _ in range(2):
        api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    for _ in range(2):
        api.delete(f"/group/{group_id}/users?emails.0=ann@x.example")
    assert trail(api)[before:] == [
        "User Added To User Group",
        "Subjects Added to Group",
        "User Removed From User Group",
        "Group Memberships Deleted",
    ]


def test_a_deleted_group_takes_its_grants_along(api: Api) -> None:
    group_id = new_group(api, permission(api, "Source Admin"))
    user_id = new_user(api, "ann@x.example")
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    api.delete(f"/groups/{group_id}")
    assert api.get(f"/users/{user_id}/groups").data["groups"] == []


def test_groups_of_nobody_are_404(api: Api) -> None:
    for route in ("GET /groups/x", "DELETE /groups/x", "GET /groups/x/users", "GET /groups/x/invites"):
        reply = api.call(route)
        assert (reply.status, reply.messages) == (404, ["User group with id 'x' not found."])
